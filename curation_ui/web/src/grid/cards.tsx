/** The grid itself, of any length: only the rows in sight exist, and their cards are fetched as they come in sight. */
import { useSignal } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { api, post } from '../api.ts';
import { useKeys } from '../keys.tsx';
import { address, go } from '../routing.tsx';
import { written } from '../review/walk.ts';
import { complain } from '../toasts.tsx';
import type { Card as Info, Page, Query } from '../wire.ts';
import { Card } from './card.tsx';
import { sourceOf, type View } from './view.ts';

interface Props {
  dataset: string;
  named: boolean; // the dataset stands in addresses, for there are several
  view: View;
  valueLabel: string | null;
  onTotal: (total: number) => void;
}

const BLOCK = 60; // cards a request
const NARROWEST = 216; // pixels of a card
const GAP = 16;
const TEXT = 70; // pixels of a card below its picture
const TALLEST = 15_000_000; // pixels: browsers go no further, so longer lists are scrolled in proportion

export function Cards({ dataset, named, view, valueLabel, onTotal }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const size = useSignal({ width: 0, height: 0 });
  const top = useSignal(0);
  const active = useSignal(0);
  const total = useSignal<number | null>(null);
  const blocks = useBlocks(dataset, view, (page) => {
    total.value = page.total;
    onTotal(page.total);
  });

  useLayoutEffect(() => {
    const element = scroller.current!;
    const watch = new ResizeObserver(() => (size.value = { width: element.clientWidth, height: element.clientHeight }));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    scroller.current!.scrollTop = top.value = active.value = 0;
  }, [JSON.stringify(view)]);

  const { width, height } = size.value;
  const columns = Math.max(1, Math.floor((width - GAP) / (NARROWEST + GAP)));
  const row = (((width - GAP) / columns - GAP) * 9) / 16 + TEXT + GAP;
  const rows = Math.ceil((total.value ?? BLOCK) / columns);
  const length = Math.min(TALLEST, rows * row + GAP);
  const stretch = Math.max(1, (rows * row + GAP - height) / Math.max(1, length - height));
  const seen = top.value * stretch; // the top of what is in sight, as if all rows existed
  const first = Math.max(0, Math.floor(seen / row) - 1);
  const last = Math.min(rows, Math.ceil((seen + height) / row) + 1);
  const inSight = Array.from({ length: Math.max(0, last - first) * columns }, (_, n) => first * columns + n).filter(
    (n) => n < (total.value ?? BLOCK),
  );
  useEffect(() => blocks.need(inSight), [inSight[0], inSight.at(-1), JSON.stringify(view)]);

  const open = (at: number) => {
    const card = blocks.card(at);
    if (card) go(linkTo(card.key, at));
  };
  const linkTo = (key: string, at: number) => {
    const kind = view.filter?.kind === 'stopped' ? 'stopped' : null;
    return address(`/clip/${key}`, { dataset: named ? dataset : null, kind, view: written(sourceOf(view)), at: at || null });
  };
  const move = (by: number) => {
    active.value = Math.max(0, Math.min((total.value ?? 1) - 1, active.value + by));
    const wanted = Math.floor(active.value / columns) * row;
    if (wanted < seen) scroller.current!.scrollTop = wanted / stretch;
    else if (wanted + row + GAP > seen + height) scroller.current!.scrollTop = (wanted + row + GAP - height) / stretch;
    requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>(`[data-at="${active.value}"] a`)?.focus());
  };
  useKeys('Clips', [
    { keys: ['ArrowRight', 'j'], does: 'next clip', run: () => move(1) },
    { keys: ['ArrowLeft', 'k'], does: 'clip before', run: () => move(-1) },
    { keys: ['ArrowDown'], does: 'a row down', run: () => move(columns) },
    { keys: ['ArrowUp'], does: 'a row up', run: () => move(-columns) },
    { keys: ['PageDown'], does: 'a screen down', run: () => move(columns * Math.max(1, Math.floor(height / row))) },
    { keys: ['PageUp'], does: 'a screen up', run: () => move(-columns * Math.max(1, Math.floor(height / row))) },
    { keys: ['Home'], does: 'the first clip', run: () => move(-Infinity) },
    { keys: ['End'], does: 'the last clip', run: () => move(total.value ?? 0) },
    { keys: ['Enter'], does: 'open the clip', run: () => open(active.value) },
  ]);

  return (
    <div class="cards" ref={scroller} tabIndex={-1} onScroll={(event) => (top.value = event.currentTarget.scrollTop)}>
      <ul style={{ height: `${length}px` }} aria-label="Clips">
        {width > 0 &&
          inSight.map((at) => {
            const card = blocks.card(at);
            const x = GAP + (at % columns) * ((width - GAP) / columns);
            const y = GAP + Math.floor(at / columns) * row - seen + top.value;
            return (
              <li
                key={at}
                data-at={at}
                class={at === active.value ? 'active' : undefined}
                aria-setsize={total.value ?? -1}
                aria-posinset={at + 1}
                style={{ width: `${(width - GAP) / columns - GAP}px`, height: `${row - GAP}px`, transform: `translate(${x}px, ${y}px)` }}
              >
                {card ? <Card card={card} to={linkTo(card.key, at)} valueLabel={valueLabel} /> : <div class="card waiting" />}
              </li>
            );
          })}
      </ul>
      {total.value === 0 && <p class="none-found">No clip is like that. Take a filter away.</p>}
    </div>
  );
}

/** Cards in blocks, asked for when they come in sight; begun anew with every view. */
function useBlocks(dataset: string, view: View, onPage: (page: Page) => void) {
  const text = JSON.stringify([dataset, view]);
  const held = useRef({ text: '', blocks: new Map<number, readonly Info[] | null>() });
  const version = useSignal(0);
  if (held.current.text !== text) held.current = { text, blocks: new Map() };
  const { blocks } = held.current;
  const fetchBlock = async (number: number) => {
    blocks.set(number, null);
    const query: Query = { ...view, offset: number * BLOCK, limit: BLOCK };
    try {
      const page = await post<Page>(api(dataset, 'clips'), query);
      if (held.current.blocks !== blocks) return; // of a view that is gone
      blocks.set(number, page.cards);
      onPage(page);
      version.value++;
    } catch (fault) {
      blocks.delete(number);
      complain(fault);
    }
  };
  void version.value; // whoever renders with these cards renders again when more have come
  return {
    card: (at: number) => blocks.get(Math.floor(at / BLOCK))?.[at % BLOCK] ?? null,
    need: (numbers: readonly number[]) => {
      for (const number of new Set(numbers.map((at) => Math.floor(at / BLOCK))))
        if (!blocks.has(number)) void fetchBlock(number);
    },
  };
}
