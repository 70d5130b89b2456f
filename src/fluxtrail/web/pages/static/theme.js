// The switch of colours: the same as its link does, without loading the page.

const COOKIE = "fluxtrail-theme";

export function startTheme() {
  document.addEventListener("click", (event) => {
    const link = /** @type {Element} */ (event.target).closest?.("a[data-theme-is]");
    if (!link || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    const theme = /** @type {HTMLElement} */ (link).dataset.themeIs ?? "system";
    document.cookie = `${COOKIE}=${theme}; path=/; max-age=31536000; samesite=strict`;
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    for (const other of document.querySelectorAll("a[data-theme-is]")) {
      if (other === link) other.setAttribute("aria-current", "true");
      else other.removeAttribute("aria-current");
    }
    document.dispatchEvent(new Event("fluxtrail:theme"));
  });
}
