// Keys become clicks on what carries them; every rule is the server's. The page works without this.
"use strict";

const form = document.getElementById("verdict");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) return;
  if (event.target.matches("textarea, input")) {
    if (event.target.id === "note" && (event.key === "Escape" || event.key === "Enter")) {
      event.preventDefault();
      event.target.blur();
    }
    return;
  }
  const key = CSS.escape(event.key.toLowerCase());
  const field = document.querySelector(`[data-focus="${key}"]`);
  const control = document.querySelector(`[data-key="${key}"]`);
  if (field) field.focus();
  if (control) control.click();
  if (field || control) event.preventDefault();
});

if (form) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault(); // a second click before the next page is here
    form.dataset.sent = "yes";
  });
}
