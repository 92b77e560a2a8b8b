/** What the grid shows, as it stands in the address: filter, order, seed. */
import { address, go, place } from '../routing.tsx';
import { read, type Source, written } from '../review/walk.ts';
import type { Choice, Filter, Query, Range } from '../wire.ts';

export type View = Omit<Query, 'offset' | 'limit'>;

export function viewIn(query: URLSearchParams): View {
  const source = read(query.get('view'));
  return source.of === 'query' ? source.query : {};
}

export function sourceOf(view: View): Source {
  return { of: 'query', query: view };
}

/** Show another view: the address changes, and the grid with it. */
export function show(view: View): void {
  const parameters = { dataset: place.value.query.get('dataset'), view: written(sourceOf(tidy(view))) };
  go(address(place.value.path, parameters), true);
}

export function rangeOf(filter: Filter | undefined, column: string): Range | undefined {
  return filter?.ranges?.find((range) => range.column === column);
}

export function choiceOf(filter: Filter | undefined, column: string): Choice | undefined {
  return filter?.choices?.find((choice) => choice.column === column);
}

export function withRange(filter: Filter, range: Range): Filter {
  const others = filter.ranges?.filter((other) => other.column !== range.column) ?? [];
  const open = (range.low ?? null) === null && (range.high ?? null) === null;
  return { ...filter, ranges: open ? others : [...others, range] };
}

export function withChoice(filter: Filter, choice: Choice): Filter {
  const others = filter.choices?.filter((other) => other.column !== choice.column) ?? [];
  return { ...filter, choices: choice.values.length ? [...others, choice] : others };
}

/** Without what says nothing, so that one view has one address. */
function tidy({ filter, sort, descending, seed }: View): View {
  const kept: Filter = {};
  if (filter?.text) kept.text = filter.text;
  if (filter?.ranges?.length) kept.ranges = filter.ranges;
  if (filter?.choices?.length) kept.choices = filter.choices;
  const view: View = {};
  if (Object.keys(kept).length) view.filter = kept;
  if (seed !== undefined && seed !== null) view.seed = seed;
  else if (sort) Object.assign(view, { sort }, descending ? { descending } : {});
  return view;
}
