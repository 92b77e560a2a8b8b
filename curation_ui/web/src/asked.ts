/** Answers that a page waits for: the last one stays on show while the next is on its way, and only the latest counts. */
import { type Signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { complain } from './toasts.tsx';

/** The answer to `ask`, asked again whenever `what` (its JSON) changes; `null` before the first. */
export function useAnswer<Answer>(what: unknown, ask: () => Promise<Answer>, delay = 0): Signal<Answer | null> {
  const answer = useSignal<Answer | null>(null);
  const latest = useRef(0);
  const text = JSON.stringify(what);
  useEffect(() => {
    const number = ++latest.current;
    const timer = setTimeout(async () => {
      try {
        const came = await ask();
        if (number === latest.current) answer.value = came;
      } catch (fault) {
        if (number === latest.current) complain(fault);
      }
    }, delay);
    return () => clearTimeout(timer);
  }, [text]);
  return answer;
}
