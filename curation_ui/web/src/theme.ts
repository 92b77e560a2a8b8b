/** Light, dark, or as the system has it; kept for the next visit. */
import { effect, signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';

const THEMES: readonly Theme[] = ['system', 'light', 'dark'];
const PLACE = 'dreamreel.theme';

export const theme = signal<Theme>(THEMES.find((name) => name === localStorage.getItem(PLACE)) ?? 'system');

effect(() => {
  document.documentElement.dataset['theme'] = theme.value;
  localStorage.setItem(PLACE, theme.value);
});

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length]!;
}
