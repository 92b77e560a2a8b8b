/** A verdict in words. */
import type { Event } from '../wire.ts';

export function said({ action, value }: Event): string {
  if (action === 'rename_subject') return `subject “${value}”`;
  if (action === 'edit_caption') return `caption “${value}”`;
  if (action === 'drop_track') return `drop track ${value}`;
  if (action === 'retrack') return `new masks for track ${value}`;
  return action;
}
