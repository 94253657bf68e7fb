import { byId } from "./dom";

const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

/** Makes the button "Theme" go through the system's, light and dark. The choice is kept. */
export function setUpTheme(): void {
  const button = byId("theme", HTMLButtonElement);
  let theme: Theme = THEMES.find((each) => each === localStorage.getItem("theme")) ?? "system";
  const show = (): void => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
    localStorage.setItem("theme", theme);
    show();
  });
  show();
}
