#!/bin/sh
# Installs Debian's Chromium for tests/serve/test_browser.py if it is missing, on a machine with apt and as root.
# It never fails; without Chromium those tests are skipped, and say so.
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "no Chromium here: the tests of the pages in a browser will be skipped" >&2
    exit 0
fi
quick="-o Acquire::Retries=1 -o Acquire::http::Timeout=20"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
timeout 600 sh -c "apt-get $quick update -qq && apt-get $quick install -y -qq --no-install-recommends chromium" >/dev/null 2>&1 ||
    echo "Chromium could not be installed: the tests of the pages in a browser will be skipped" >&2
exit 0
