/** The picture with its masks, and the bar that plays it. */
import { useEffect, useRef } from 'preact/hooks';
import type { Clip } from '../wire.ts';
import type { Desk } from './desk.ts';
import { change, faster, RATES, showing } from './settings.ts';

export function Stage({ desk, clip }: { desk: Desk; clip: Clip }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const shelf = useRef<HTMLDivElement>(null);
  const { player } = desk;
  useEffect(() => player.attach(canvas.current!, shelf.current!), []);
  return (
    <div class="stage" style={{ '--aspect': String(clip.width / clip.height) }}>
      <div class="shelf" ref={shelf} aria-hidden="true" />
      <canvas
        ref={canvas}
        role="img"
        aria-label={`${clip.subject}: ${clip.caption}`}
        class={player.shown.value ? 'shown' : undefined}
        onClick={() => player.toggle()}
      />
      {!clip.mp4 && <p class="message">There is no video of this clip: it stopped at {clip.stage ?? 'an early stage'}.</p>}
      {player.fault.value && (
        <p class="message" role="alert">
          The video does not play: {player.fault.value}
        </p>
      )}
      {clip.proxied && <span class="proxied">shown by a proxy of the {clip.codec} video, frame for frame</span>}
    </div>
  );
}

export function Transport({ desk, clip }: { desk: Desk; clip: Clip }) {
  const { player } = desk;
  const frame = player.frame.value;
  const last = clip.pts.length - 1;
  return (
    <div class="transport">
      <button type="button" onClick={() => player.toggle()} aria-label={player.playing.value ? 'Pause' : 'Play'}>
        {player.playing.value ? '❚❚' : '▶'}
      </button>
      <button type="button" class="quiet" onClick={() => player.step(-1)} aria-label="Frame before">
        ‹
      </button>
      <button type="button" class="quiet" onClick={() => player.step(1)} aria-label="Next frame">
        ›
      </button>
      <output class="number" aria-label="Frame">
        {frame} / {last}
      </output>
      <span class="number faint">{player.second(frame).toFixed(2)} s</span>
      <span class="grow" />
      <Toggle label="Masks" on={showing.value.fill} set={(fill) => change({ fill })} />
      <Toggle label="Outlines" on={showing.value.outline} set={(outline) => change({ outline })} />
      <Toggle label="Boxes" on={showing.value.boxes} set={(boxes) => change({ boxes })} />
      <select
        aria-label="Speed"
        value={showing.value.rate}
        onChange={(event) => change({ rate: Number(event.currentTarget.value) })}
      >
        {RATES.map((rate) => (
          <option key={rate} value={rate}>
            {rate}×
          </option>
        ))}
      </select>
    </div>
  );
}

export function Toggle({ label, on, set }: { label: string; on: boolean; set: (on: boolean) => void }) {
  return (
    <button type="button" class="toggle" aria-pressed={on} onClick={() => set(!on)}>
      {label}
    </button>
  );
}

/** Keys of the picture. */
export function stageKeys({ player }: Desk) {
  const { fill, outline, boxes, autoplay } = showing.peek();
  return [
    { keys: [' '], does: 'play or pause', run: () => player.toggle() },
    { keys: ['ArrowRight'], does: 'next frame', run: () => player.step(1) },
    { keys: ['ArrowLeft'], does: 'frame before', run: () => player.step(-1) },
    { keys: ['Shift+ArrowRight'], does: 'ten frames on', run: () => player.step(10) },
    { keys: ['Shift+ArrowLeft'], does: 'ten frames back', run: () => player.step(-10) },
    { keys: ['Home'], does: 'first frame', run: () => player.seek(0) },
    { keys: ['End'], does: 'last frame', run: () => player.seek(Infinity) },
    { keys: ['m'], does: 'masks on or off', run: () => change({ fill: !fill }) },
    { keys: ['o'], does: 'outlines on or off', run: () => change({ outline: !outline }) },
    { keys: ['b'], does: 'boxes on or off', run: () => change({ boxes: !boxes }) },
    { keys: [','], does: 'slower', run: () => faster(-1) },
    { keys: ['.'], does: 'faster', run: () => faster(1) },
    { keys: ['l'], does: 'play each clip as it comes, or not', run: () => change({ autoplay: !autoplay }) },
  ];
}
