// Small helps on pages that work without them.
"use strict";

(() => {
  // A button that copies a text, or what stands in the element that describes it.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const before = button.textContent;
    const target = document.getElementById(button.getAttribute("aria-describedby"));
    try {
      await navigator.clipboard.writeText(button.dataset.copy || target.textContent);
      button.textContent = button.dataset.copied;
    } catch {
      // No permission, or no secure origin: select the text, so that the usual keys copy it.
      if (target) getSelection().selectAllChildren(target);
      return;
    }
    setTimeout(() => { button.textContent = before; }, 2000);
  });

  // Copying needs this script: without it, the buttons are not shown.
  const reveal = (root) => {
    for (const one of root.querySelectorAll("[data-needs-script]")) one.hidden = false;
  };
  reveal(document);
  document.addEventListener("htmx:afterSwap", (event) => reveal(event.target));

  // Choosing a language sends its form at once.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-send-on-change]")) event.target.form.requestSubmit();
  });
})();
