/** One clip in the grid: thumbnails that run under the pointer, the subject, the caption, and what was decided. */
import { useSignal } from '@preact/signals';
import { measured } from '../numbers.ts';
import { Link } from '../routing.tsx';
import type { Card as Info } from '../wire.ts';

interface Props {
  card: Info;
  to: string;
  valueLabel: string | null; // of the column that is sorted by
}

export function Card({ card, to, valueLabel }: Props) {
  const length = card.duration === null ? '' : `${card.duration.toFixed(1)} s`;
  return (
    <Link to={to} class={`card ${card.state}`}>
      {card.strip ? (
        <Strip url={card.strip} aspect={card.width && card.height ? card.width / card.height : null} />
      ) : (
        <div class="picture none">no picture</div>
      )}
      <Marks card={card} />
      <div class="about">
        <strong>
          {card.subject || card.why || card.stage}
          {card.state !== 'open' && <span class="hidden">, {card.state}</span>}
          {card.flagged && <span class="hidden">, flagged</span>}
        </strong>
        <span class="number">
          {valueLabel && card.value !== null ? `${valueLabel} ${measured(card.value)}` : length}
        </span>
        {card.stage && <p class="why">{stopped(card)}</p>}
        <p>{card.caption}</p>
      </div>
    </Link>
  );
}

/** Where a clip stopped, and with which value. */
function stopped({ stage, measured: value }: Info): string {
  const number = value === null ? NaN : Number(value);
  return [`stopped by the ${stage}`, Number.isNaN(number) ? value : measured(number)].filter(Boolean).join(' at ');
}

function Marks({ card }: { card: Info }) {
  return (
    <span class="marks" aria-hidden="true">
      {card.state === 'accepted' && <i class="accepted">✓</i>}
      {card.state === 'rejected' && <i class="rejected">✕</i>}
      {card.flagged && <i class="flagged">⚑</i>}
      {card.edited && <i class="edited">✎</i>}
      {(card.num_tracks ?? 1) > 1 && <i class="tracks">{card.num_tracks}</i>}
    </span>
  );
}

const TILES = 8;
const FRAME = 16 / 9; // the card's

/** One of the eight thumbnails at a time, filling the frame; where nobody knows their `aspect` the picture tells. */
export function Strip({ url, aspect }: { url: string; aspect: number | null }) {
  const tile = useSignal(3);
  const own = useSignal(FRAME);
  const missing = useSignal(false);
  const width = 100 * Math.max(1, (aspect ?? own.value) / FRAME); // of one tile, percent of the frame
  const scrub = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    tile.value = Math.max(0, Math.min(TILES - 1, Math.floor(((event.clientX - box.left) / box.width) * TILES)));
  };
  if (missing.value) return <div class="picture none">no picture</div>;
  return (
    <div class="picture" onPointerMove={scrub} onPointerLeave={() => (tile.value = 3)}>
      <img
        src={url}
        alt=""
        loading="lazy"
        decoding="async"
        onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) => (own.value = naturalWidth / TILES / naturalHeight)}
        onError={() => (missing.value = true)}
        style={{ width: `${TILES * width}%`, left: `${50 - (tile.value + 0.5) * width}%` }}
      />
    </div>
  );
}
