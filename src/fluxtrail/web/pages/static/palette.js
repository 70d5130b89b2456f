// Find anything: the search page's own answers while one types, in a dialog.

const WAIT_MILLISECONDS = 120;

/** @returns {{open: () => void}} */
export function startPalette() {
  const dialog = /** @type {HTMLDialogElement | null} */ (document.getElementById("palette"));
  const field = /** @type {HTMLInputElement | null} */ (document.getElementById("find"));
  if (!dialog || !field) return { open: () => field?.focus() };

  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = field.placeholder;
  input.maxLength = field.maxLength;
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-label", "Find");
  input.setAttribute("aria-controls", "found");
  input.setAttribute("aria-expanded", "false");
  input.setAttribute("aria-autocomplete", "list");
  const list = document.createElement("ul");
  list.id = "found";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Found");
  const none = document.createElement("p");
  none.className = "none";
  none.setAttribute("role", "status");
  const hint = document.createElement("p");
  hint.className = "hint";
  hint.setAttribute("aria-hidden", "true");
  hint.innerHTML = "<span><kbd>↑</kbd> <kbd>↓</kbd> choose</span><span><kbd>Enter</kbd> open</span><span><kbd>Esc</kbd> close</span>";
  dialog.append(input, list, none, hint);

  let timer = 0;
  let asked = 0;
  let chosen = -1;

  /** @param {number} index */
  function choose(index) {
    const options = [...list.querySelectorAll("li[role=option]")];
    input.setAttribute("aria-expanded", String(options.length > 0));
    chosen = options.length ? (index + options.length) % options.length : -1;
    options.forEach((option, at) => option.setAttribute("aria-selected", String(at === chosen)));
    const option = options[chosen];
    if (option) {
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  }

  async function ask() {
    const mine = ++asked;
    try {
      const answer = await fetch(`/search?q=${encodeURIComponent(input.value.trim())}&part=list`, { headers: { "HX-Request": "true" } });
      const text = await answer.text();
      if (mine !== asked || !answer.ok) return;
      const page = new DOMParser().parseFromString(text, "text/html");
      const found = page.querySelectorAll("#found-list > li");
      list.replaceChildren(...found);
      none.replaceChildren(...(found.length ? [] : [...page.querySelectorAll(".empty p")].flatMap((said) => [said.textContent ?? "", document.createElement("br")])));
      choose(0);
    } catch {
      // Offline: the banner says so.
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(ask, WAIT_MILLISECONDS);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Escape") {
      event.preventDefault(); // browsers would only empty the field
      dialog.close();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const link = list.querySelector("li[aria-selected=true] a");
      if (link instanceof HTMLElement) link.click();
      else location.href = `/search?q=${encodeURIComponent(input.value.trim())}`;
    }
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  field.addEventListener("keydown", (event) => event.key === "Escape" && field.blur());

  function open() {
    if (dialog?.open) return;
    input.value = field?.value ?? "";
    dialog?.showModal();
    input.select();
    ask();
  }
  return { open };
}
