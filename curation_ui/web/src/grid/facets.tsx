/** The facets beside the grid: what the clips are like, and a hand on each to narrow them. */
import { useSignal } from '@preact/signals';
import { api, get, post } from '../api.ts';
import { useAnswer } from '../asked.ts';
import { count } from '../numbers.ts';
import type { ColumnInfo, Facets as Answer, Filter, Words } from '../wire.ts';
import { Histogram } from './histogram.tsx';
import { choiceOf, rangeOf, withChoice, withRange } from './view.ts';

interface Props {
  dataset: string;
  columns: readonly ColumnInfo[];
  filter: Filter;
  onFilter: (filter: Filter) => void;
}

const FEW = 8; // words of a facet, before all are asked for
const MANY = 300;

export function Facets({ dataset, columns, filter, onFilter }: Props) {
  const added = useSignal<readonly string[]>([]);
  const whole = useSignal<readonly string[]>([]);
  const used = [...(filter.ranges ?? []), ...(filter.choices ?? [])].map((part) => part.column);
  const shown = columns.filter((c) => c.facet || added.value.includes(c.name) || used.includes(c.name));
  const names = shown.map((column) => column.name);
  const words = whole.value.length ? MANY : FEW;
  const answer = useAnswer(
    [filter, names, words],
    async () => (names.length ? post<Answer>(api(dataset, 'facets'), { filter, columns: names, words, bins: 32 }) : null),
    60,
  );
  const others = columns.filter((column) => !names.includes(column.name));
  if (!names.length) return null;
  return (
    <aside class="facets" aria-label="Facets">
      {shown.map((column) => {
        const facet = answer.value?.facets.find((one) => one.column === column.name);
        return (
          <section key={column.name}>
            <h2>{column.label}</h2>
            {facet?.kind === 'number' && (
              <Histogram
                label={column.label}
                bins={facet}
                range={rangeOf(filter, column.name)}
                onRange={(range) => onFilter(withRange(filter, range))}
              />
            )}
            {facet?.kind === 'word' && (
              <WordList
                label={column.label}
                facet={facet}
                few={whole.value.includes(column.name) ? MANY : FEW}
                chosen={choiceOf(filter, column.name)?.values ?? []}
                onChosen={(values) => onFilter(withChoice(filter, { column: column.name, values }))}
                onMore={() => (whole.value = [...whole.value, column.name])}
              />
            )}
          </section>
        );
      })}
      {others.length > 0 && (
        <select
          aria-label="Show another facet"
          value=""
          onChange={(event) => (added.value = [...added.value, event.currentTarget.value])}
        >
          <option value="">Another facet…</option>
          {others.map((column) => (
            <option key={column.name} value={column.name}>
              {column.label}
            </option>
          ))}
        </select>
      )}
    </aside>
  );
}

interface WordListProps {
  label: string;
  facet: Words;
  few: number;
  chosen: readonly string[];
  onChosen: (values: string[]) => void;
  onMore: () => void;
}

function WordList({ label, facet, few, chosen, onChosen, onMore }: WordListProps) {
  const listed = facet.words.slice(0, few);
  const lost = chosen.filter((word) => !listed.some((one) => one.word === word));
  const words = [...lost.map((word) => facet.words.find((one) => one.word === word) ?? { word, count: 0 }), ...listed];
  const most = Math.max(1, ...words.map((word) => word.count));
  const more = facet.words.length - listed.length + facet.others;
  const toggle = (word: string) =>
    onChosen(chosen.includes(word) ? chosen.filter((other) => other !== word) : [...chosen, word]);
  return (
    <ul class="words">
      {words.map(({ word, count: number }) => (
        <li key={word}>
          <label style={{ '--share': String(number / most) }}>
            <input type="checkbox" checked={chosen.includes(word)} onChange={() => toggle(word)} aria-label={`${label}: ${word || 'none'}`} />
            <span class="word">{word || <em>none</em>}</span>
            <span class="number">{count(number)}</span>
          </label>
        </li>
      ))}
      {more > 0 && (
        <li>
          <button type="button" class="quiet small" onClick={onMore}>
            {count(more)} more
          </button>
        </li>
      )}
    </ul>
  );
}

/** The columns of a dataset, once for each kind. */
export function useColumns(dataset: string, kind: string) {
  return useAnswer([dataset, kind], () => get<ColumnInfo[]>(api(dataset, `columns?kind=${kind}`)));
}
