/** Short messages that pass: what was done, and what went wrong. */
import { signal } from '@preact/signals';

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

const toasts = signal<readonly Toast[]>([]);
const SECONDS = { good: 3.5, bad: 10 };
let count = 0;

export function say(text: string, bad = false): void {
  const toast = { id: ++count, text, bad };
  toasts.value = [...toasts.value.slice(-3), toast];
  setTimeout(() => dismiss(toast.id), 1000 * (bad ? SECONDS.bad : SECONDS.good));
}

/** Tell a failure in the words it came with. */
export function complain(fault: unknown): void {
  say(fault instanceof Error ? fault.message : String(fault), true);
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <p key={toast.id} class={toast.bad ? 'toast bad' : 'toast'} onClick={() => dismiss(toast.id)}>
          {toast.text}
        </p>
      ))}
    </div>
  );
}

function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}
