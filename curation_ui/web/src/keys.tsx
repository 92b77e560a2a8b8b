/** The keyboard: pages say which keys do what, one listener obeys, and the list of keys is made from the same. */
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

export interface Binding {
  /** As `KeyboardEvent.key` has it; "Shift+" before it where the key alone means something else. */
  keys: string[];
  does: string;
  /** Held down it does so no more than once: what decides something is pressed for each clip anew. */
  once?: true;
  run: (key: string) => void;
}

interface Scope {
  title: string;
  bindings: readonly Binding[];
}

const scopes = signal<readonly Scope[]>([]);
export const helpOpen = signal(false);

/** Bind keys while the calling component is on show. What is bound last wins. */
export function useKeys(title: string, bindings: readonly Binding[]): void {
  const scope = useRef<Scope>({ title, bindings });
  scope.current.bindings = bindings; // the latest closures
  useEffect(() => {
    const mine = scope.current;
    scopes.value = [...scopes.value, mine];
    return () => void (scopes.value = scopes.value.filter((other) => other !== mine));
  }, []);
}

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTyping(event) || document.querySelector('dialog[open]')) return;
  const pressed = event.shiftKey && event.key.length > 1 ? `Shift+${event.key}` : event.key;
  for (const scope of scopes.value.toReversed())
    for (const binding of scope.bindings)
      if (binding.keys.includes(pressed)) {
        event.preventDefault();
        if (!event.repeat || !binding.once) binding.run(pressed);
        return;
      }
});

/** Keys that belong to what has the focus: text fields take all, sliders those that move them, buttons Enter and Space. */
function isTyping({ target, key }: KeyboardEvent): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.matches('input[type=range]')) return /^(Arrow|Page|Home$|End$)/.test(key);
  if (target.matches('textarea, select, input:not([type=checkbox], [type=radio])')) return true;
  return target.matches('button, a, summary, input') && (key === 'Enter' || key === ' ');
}

/** The list of all keys that mean something here and now. */
export function KeyHelp() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (helpOpen.value) dialog.current?.showModal();
    else dialog.current?.close();
  }, [helpOpen.value]);
  return (
    <dialog ref={dialog} class="sheet keys" aria-label="Keys" onClose={() => (helpOpen.value = false)}>
      <header>
        <h2>Keys</h2>
        <button type="button" class="quiet" onClick={() => (helpOpen.value = false)}>
          Close
        </button>
      </header>
      <div class="columns">
        {helpOpen.value &&
          scopes.value.map((scope) => (
            <section key={scope.title}>
              <h3>{scope.title}</h3>
              <dl>
                {scope.bindings.map((binding) => (
                  <div key={binding.does}>
                    <dt>
                      {binding.keys.map((key) => (
                        <kbd key={key}>{keyName(key)}</kbd>
                      ))}
                    </dt>
                    <dd>{binding.does}</dd>
                  </div>
                ))}
              </dl>
            </section>
          ))}
      </div>
    </dialog>
  );
}

const NAMES: Record<string, string> = {
  ' ': 'Space',
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
  Escape: 'Esc',
};

export function keyName(key: string): string {
  if (key.startsWith('Shift+')) return `⇧ ${keyName(key.slice(6))}`;
  return NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
}
