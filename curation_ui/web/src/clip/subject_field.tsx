/** The subject word, to be corrected: words of the dataset and of the vocabulary come up as one types. */
import { useSignal } from '@preact/signals';
import type { Ref } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { api, get } from '../api.ts';
import { count } from '../numbers.ts';
import type { Clip, Suggestions, Word } from '../wire.ts';

interface Props {
  clip: Clip;
  field: Ref<HTMLInputElement>;
  onSubject: (noun: string) => void;
}

const SUGGESTED = 8;

export function SubjectField({ clip, field, onSubject }: Props) {
  const id = useId();
  const text = useSignal(clip.subject);
  const words = useSignal<readonly Word[]>([]);
  const active = useSignal(-1);
  const latest = useRef(0);
  useEffect(() => {
    text.value = clip.subject;
    close();
  }, [clip.key, clip.subject]);

  const close = () => {
    latest.current++;
    words.value = [];
    active.value = -1;
  };
  const suggest = async (typed: string) => {
    const number = ++latest.current;
    const path = `words?text=${encodeURIComponent(typed)}&limit=${SUGGESTED}`;
    const answer = await get<Suggestions>(api(clip.dataset, path)).catch(() => null);
    if (!answer || number !== latest.current) return;
    const chosen = words.value[active.value]?.word; // while this was under way
    words.value = answer.words;
    active.value = answer.words.findIndex(({ word }) => word === chosen);
  };
  const save = (noun: string, input: HTMLInputElement) => {
    const word = noun.trim().toLowerCase();
    text.value = word || clip.subject;
    close();
    input.blur();
    if (word && word !== clip.subject) onSubject(word);
  };
  const onKey = (event: KeyboardEvent) => {
    const input = event.currentTarget as HTMLInputElement;
    const last = words.value.length - 1;
    if (event.key === 'ArrowDown') active.value = active.value < last ? active.value + 1 : -1;
    else if (event.key === 'ArrowUp') active.value = active.value < 0 ? last : active.value - 1;
    else if (event.key === 'Enter') save(words.value[active.value]?.word ?? input.value, input);
    else if (event.key === 'Escape') {
      text.value = clip.subject;
      close();
      input.blur();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="subject">
      <input
        ref={field}
        role="combobox"
        aria-label="Subject"
        aria-expanded={words.value.length > 0}
        aria-controls={`${id}-words`}
        aria-activedescendant={active.value < 0 ? undefined : `${id}-${active.value}`}
        aria-autocomplete="list"
        autocomplete="off"
        spellcheck={false}
        maxLength={80}
        readOnly={!clip.sha256}
        value={text.value}
        onFocus={(event) => {
          event.currentTarget.select();
          if (clip.sha256) void suggest('');
        }}
        onBlur={() => {
          text.value = clip.subject;
          close();
        }}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          active.value = -1; // what is typed counts, until a word is chosen from the new list
          void suggest(text.value);
        }}
        onKeyDown={onKey}
      />
      <ul id={`${id}-words`} role="listbox" aria-label="Subject words" hidden={!words.value.length}>
        {words.value.map(({ word, count: number }, n) => (
          <li
            key={word}
            id={`${id}-${n}`}
            role="option"
            aria-selected={n === active.value}
            onPointerDown={(event) => {
              event.preventDefault(); // the field keeps the focus until it is saved
              save(word, (event.currentTarget.closest('.subject') as Element).querySelector('input')!);
            }}
          >
            <span>{word}</span>
            <span class="number faint">{number ? count(number) : ''}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
