/** The grid of clips with its facets, search and order; of samples, or of clips that are none. */
import { useComputed, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { useKeys } from '../keys.tsx';
import { counted, measured } from '../numbers.ts';
import type { PageProps } from '../pages.ts';
import { place } from '../routing.tsx';
import { home } from '../session.tsx';
import type { ColumnInfo, Filter } from '../wire.ts';
import { Cards } from './cards.tsx';
import { Facets, useColumns } from './facets.tsx';
import { show, type View, viewIn, withChoice, withRange } from './view.ts';

export function Grid({ dataset }: PageProps) {
  const kind = place.value.path.startsWith('/stopped') ? 'stopped' : 'samples';
  const view = useComputed(() => viewIn(place.value.query)).value;
  const columns = useColumns(dataset.dataset, kind).value ?? [];
  const total = useSignal<number | null>(null);
  const filter: Filter = view.filter ?? {};
  const asked: View = kind === 'stopped' ? { ...view, filter: { ...filter, kind } } : view;
  const onFilter = (changed: Filter) => show({ ...view, filter: changed });
  const sorted = columns.find((column) => column.name === view.sort);
  useEffect(() => {
    document.title = `${kind === 'stopped' ? 'Stopped' : 'Clips'} · ${dataset.title}`;
  }, [kind, dataset.title]);
  return (
    <div class="grid-page">
      <Facets
        dataset={dataset.dataset}
        columns={columns}
        filter={kind === 'stopped' ? { ...filter, kind } : filter}
        onFilter={({ kind: _, ...changed }) => onFilter(changed)}
      />
      <section class="listing" aria-labelledby="listing-title">
        <div class="bar">
          <h1 id="listing-title" aria-live="polite">
            {total.value === null ? dataset.title : counted(total.value, kind === 'stopped' ? 'stopped clip' : 'clip')}
          </h1>
          <Search text={filter.text ?? ''} onText={(text) => onFilter({ ...filter, text })} />
          <Order view={view} columns={columns} />
        </div>
        <Chips filter={filter} columns={columns} onFilter={onFilter} />
        <Cards
          dataset={dataset.dataset}
          named={(home.value?.datasets.length ?? 0) > 1}
          view={asked}
          valueLabel={sorted?.kind === 'number' ? sorted.label : null}
          onTotal={(number) => (total.value = number)}
        />
      </section>
    </div>
  );
}

function Search({ text, onText }: { text: string; onText: (text: string) => void }) {
  const field = useRef<HTMLInputElement>(null);
  const timer = useRef(0);
  useKeys('Search', [{ keys: ['/'], does: 'search captions, subjects and videos', run: () => field.current?.focus() }]);
  useEffect(() => {
    if (field.current && document.activeElement !== field.current) field.current.value = text;
  }, [text]);
  const later = (value: string) => {
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => onText(value.trim()), 180);
  };
  return (
    <input
      ref={field}
      type="search"
      class="search"
      placeholder="Search captions and subjects"
      aria-label="Search captions, subjects and videos"
      defaultValue={text}
      onInput={(event) => later(event.currentTarget.value)}
      onKeyDown={(event) => (event.key === 'Escape' || event.key === 'Enter') && event.currentTarget.blur()}
    />
  );
}

function Order({ view, columns }: { view: View; columns: readonly ColumnInfo[] }) {
  const random = view.seed !== undefined && view.seed !== null;
  const choose = (value: string) => {
    const { filter = {} } = view;
    if (value === 'random') show({ filter, seed: Math.floor(Math.random() * 100_000) });
    else show({ filter, sort: value || null, descending: view.descending ?? false });
  };
  return (
    <div class="order">
      <select aria-label="Order" value={random ? 'random' : (view.sort ?? '')} onChange={(e) => choose(e.currentTarget.value)}>
        <option value="">As in the shards</option>
        <option value="random">{random ? `Random, seed ${view.seed}` : 'Random'}</option>
        {columns.map((column) => (
          <option key={column.name} value={column.name}>
            {column.label}
          </option>
        ))}
      </select>
      {random ? (
        <button type="button" class="quiet" aria-label="Shuffle again" onClick={() => choose('random')}>
          ⟳
        </button>
      ) : (
        <button
          type="button"
          class="quiet"
          disabled={!view.sort}
          aria-label={view.descending ? 'Greatest first' : 'Least first'}
          onClick={() => show({ ...view, descending: !view.descending })}
        >
          {view.descending ? '↓' : '↑'}
        </button>
      )}
    </div>
  );
}

interface ChipsProps {
  filter: Filter;
  columns: readonly ColumnInfo[];
  onFilter: (filter: Filter) => void;
}

/** What narrows the grid, each with a button that takes it away. */
function Chips({ filter, columns, onFilter }: ChipsProps) {
  const label = (name: string) => columns.find((column) => column.name === name)?.label ?? name;
  const chips = [
    ...(filter.text ? [{ says: `“${filter.text}”`, without: { ...filter, text: '' } }] : []),
    ...(filter.ranges ?? []).map((range) => ({
      says: `${label(range.column)} ${bounds(range.low ?? null, range.high ?? null)}`,
      without: withRange(filter, { column: range.column }),
    })),
    ...(filter.choices ?? []).map((choice) => ({
      says: `${label(choice.column)}: ${choice.values.map((word) => word || 'none').join(', ')}`,
      without: withChoice(filter, { ...choice, values: [] }),
    })),
  ];
  if (!chips.length) return null;
  return (
    <ul class="chips" aria-label="Filters">
      {chips.map(({ says, without }) => (
        <li key={says}>
          {says}
          <button type="button" aria-label={`Take away: ${says}`} onClick={() => onFilter(without)}>
            ×
          </button>
        </li>
      ))}
      {chips.length > 1 && (
        <li class="all">
          <button type="button" onClick={() => onFilter({})}>
            Clear all
          </button>
        </li>
      )}
    </ul>
  );
}

function bounds(low: number | null, high: number | null): string {
  if (low === null) return `≤ ${measured(high)}`;
  if (high === null) return `≥ ${measured(low)}`;
  return `${measured(low)} – ${measured(high)}`;
}
