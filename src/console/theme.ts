/** Light or dark: as the system has it, unless somebody chose. */
import { signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'

const KEPT = 'gatebook-theme'

export const theme = signal<Theme>(kept())
apply(theme.value)

export function choose(chosen: Theme): void {
  theme.value = chosen
  localStorage.setItem(KEPT, chosen)
  apply(chosen)
}

function kept(): Theme {
  const found = localStorage.getItem(KEPT)
  return found === 'light' || found === 'dark' ? found : 'system'
}

function apply(chosen: Theme): void {
  if (chosen === 'system') delete document.documentElement.dataset['theme']
  else document.documentElement.dataset['theme'] = chosen
}
