/** Which page is open: the address is the only place where this stands. */
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';

export interface Place {
  path: string;
  query: URLSearchParams;
}

export const place = signal<Place>(here());

addEventListener('popstate', () => (place.value = here()));

/** Open an address of the page; `replace` leaves no step back. */
export function go(address: string, replace = false): void {
  if (address === location.pathname + location.search) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', address);
  place.value = here();
}

/** An address with those parameters that say something. */
export function address(path: string, parameters: Record<string, string | number | null | undefined> = {}): string {
  const said = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const query = new URLSearchParams(said.map(([name, value]) => [name, String(value)]));
  return said.length ? `${path}?${query}` : path;
}

interface LinkProps {
  to: string;
  class?: string;
  current?: boolean;
  label?: string;
  children: ComponentChildren;
}

export function Link({ to, current, label, children, class: name }: LinkProps) {
  const follow = (event: MouseEvent) => {
    if (event.button || event.metaKey || event.ctrlKey || event.shiftKey) return; // a new tab is the browser's
    event.preventDefault();
    go(to);
  };
  return (
    <a href={to} class={name} aria-current={current ? 'page' : undefined} aria-label={label} onClick={follow}>
      {children}
    </a>
  );
}

function here(): Place {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}
