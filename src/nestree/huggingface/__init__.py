"""Models of nestree in Hugging Face's transformers (extra ``nestree[transformers]``).

Importing this package registers them with ``AutoConfig`` and ``AutoModelForSequenceClassification``.

    >>> import nestree.huggingface
    >>> model, tokenizer = nestree.huggingface.from_run("runs/reviews")
    >>> transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)("a fine film")

[`save`][nestree.huggingface.convert.save] writes a folder (``nestree share RUN --transformers FOLDER``) that
``from_pretrained`` reads.
"""

try:
    import transformers as _transformers
except ImportError:
    raise ImportError("nestree.huggingface needs transformers: pip install 'nestree[transformers]'") from None

from nestree.huggingface.configuration import MODEL_TYPE, NestreeConfig
from nestree.huggingface.convert import from_run, save
from nestree.huggingface.model import NestreeForSequenceClassification

_transformers.AutoConfig.register(MODEL_TYPE, NestreeConfig, exist_ok=True)
_transformers.AutoModelForSequenceClassification.register(
    NestreeConfig, NestreeForSequenceClassification, exist_ok=True
)

__all__ = ["NestreeConfig", "NestreeForSequenceClassification", "from_run", "save"]
