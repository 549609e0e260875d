// The theme gives its search field no name for screen readers.
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
