/** The clips that one walks through: those of a query, of a quality sample, or a list; its source stands in the address. */
import { api, post } from '../api.ts';
import type { Keys, QualitySample, Query, SampleRequest } from '../wire.ts';

export type Source =
  | { of: 'query'; query: Query }
  | { of: 'sample'; sample: SampleRequest }
  | { of: 'keys'; keys: string[] };

export const EVERYTHING: Source = { of: 'query', query: {} };

const BLOCK = 500; // keys a request

/** As it stands in the address; nothing where it is the whole dataset. */
export function written(source: Source): string | null {
  const text = JSON.stringify(source);
  return text === JSON.stringify(EVERYTHING) ? null : text;
}

export function read(text: string | null): Source {
  if (!text) return EVERYTHING;
  try {
    const source = JSON.parse(text) as Source;
    return ['query', 'sample', 'keys'].includes(source.of) ? source : EVERYTHING;
  } catch {
    return EVERYTHING; // an address that somebody shortened
  }
}

/** Keys in order, fetched in blocks as they are needed. The order stays as it was when the walk began. */
export class Walk {
  total = 0;
  private readonly blocks = new Map<number, Promise<string[]>>();

  private constructor(
    readonly dataset: string,
    readonly source: Source,
  ) {}

  /** A walk that stands at `key`, which was number `at` when its address was made. */
  static async open(dataset: string, source: Source, key: string, at: number): Promise<{ walk: Walk; at: number }> {
    const walk = new Walk(dataset, source);
    if ((await walk.key(at)) === key) return { walk, at };
    const block = await walk.block(Math.floor(at / BLOCK));
    const found = block.indexOf(key);
    if (found >= 0) return { walk, at: Math.floor(at / BLOCK) * BLOCK + found };
    return { walk, at: -1 }; // it has left the query meanwhile, as a decided clip leaves "open" ones
  }

  async key(at: number): Promise<string | null> {
    if (at < 0) return null;
    return (await this.block(Math.floor(at / BLOCK)))[at % BLOCK] ?? null;
  }

  private block(number: number): Promise<string[]> {
    const known = this.blocks.get(number);
    if (known) return known;
    const asked = this.fetch(number);
    this.blocks.set(number, asked);
    asked.catch(() => this.blocks.delete(number));
    return asked;
  }

  private async fetch(number: number): Promise<string[]> {
    if (this.source.of === 'keys') return this.part(this.source.keys, number);
    if (this.source.of === 'sample') {
      const sample = await post<QualitySample>(api(this.dataset, 'sample'), this.source.sample);
      return this.part(sample.keys, number);
    }
    const query = { ...this.source.query, offset: number * BLOCK, limit: BLOCK };
    const { total, keys } = await post<Keys>(api(this.dataset, 'keys'), { query });
    this.total = total;
    return keys;
  }

  private part(keys: readonly string[], number: number): string[] {
    this.total = keys.length;
    return keys.slice(number * BLOCK, (number + 1) * BLOCK);
  }
}
