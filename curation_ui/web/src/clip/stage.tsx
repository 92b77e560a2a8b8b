/** The picture with its masks, and the bar that plays it. */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { Clip } from '../wire.ts';
import type { Desk } from './desk.ts';
import { change, faster, RATES, showing } from './settings.ts';

export function Stage({ desk, clip }: { desk: Desk; clip: Clip }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const shelf = useRef<HTMLDivElement>(null);
  const { player } = desk;
  const aiming = useAim(desk, clip);
  useEffect(() => player.attach(canvas.current!, shelf.current!), []);
  return (
    <div class={desk.aim.value ? 'stage aiming' : 'stage'} style={{ '--aspect': String(clip.width / clip.height) }}>
      <div class="shelf" ref={shelf} aria-hidden="true" />
      <canvas
        ref={canvas}
        role="img"
        aria-label={`${clip.subject}: ${clip.caption}`}
        class={player.shown.value ? 'shown' : undefined}
        {...(desk.aim.value ? aiming.handlers : { onClick: () => player.toggle() })}
      />
      {aiming.box.value && <i class="drawn" style={aiming.box.value} />}
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

const CLICK = 5; // pixels of the screen: a pointer that moves less has clicked

/** Pointer handlers that tell a click or a box in the picture; and the box while it is drawn. */
function useAim(desk: Desk, clip: Clip) {
  const from = useRef<PointerEvent | null>(null);
  const box = useSignal<Record<string, string> | null>(null);
  const at = (event: PointerEvent): [number, number] => {
    const frame = (event.currentTarget as Element).getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * clip.width;
    const y = ((event.clientY - frame.top) / frame.height) * clip.height;
    return [Math.max(0, Math.min(clip.width - 1, Math.floor(x))), Math.max(0, Math.min(clip.height - 1, Math.floor(y)))];
  };
  const start = useRef<[number, number]>([0, 0]);
  const handlers = {
    onPointerDown: (event: PointerEvent) => {
      (event.currentTarget as Element).setPointerCapture(event.pointerId);
      desk.player.pause();
      from.current = event;
      start.current = at(event);
    },
    onPointerMove: (event: PointerEvent) => {
      if (!from.current) return;
      const stage = (event.currentTarget as Element).parentElement!.getBoundingClientRect();
      const [left, right] = [from.current.clientX, event.clientX].sort((a, b) => a - b) as [number, number];
      const [top, bottom] = [from.current.clientY, event.clientY].sort((a, b) => a - b) as [number, number];
      box.value = {
        left: `${left - stage.left}px`,
        top: `${top - stage.top}px`,
        width: `${right - left}px`,
        height: `${bottom - top}px`,
      };
    },
    onPointerUp: (event: PointerEvent) => {
      const began = from.current;
      from.current = box.value = null;
      if (!began) return;
      const moved = Math.hypot(event.clientX - began.clientX, event.clientY - began.clientY);
      const [[x, y], [u, v]] = [start.current, at(event)];
      if (moved < CLICK) desk.aim.value?.({ point: [x, y] });
      else desk.aim.value?.({ box: [Math.min(x, u), Math.min(y, v), Math.max(x, u) + 1, Math.max(y, v) + 1] });
    },
  };
  return { handlers, box };
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
  const { fill, outline, boxes, autoplay, ahead } = showing.peek();
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
    { keys: ['w'], does: 'make the next clips ready, or not, which spares a slow line', run: () => change({ ahead: !ahead }) },
    { keys: ['l'], does: 'play each clip as it comes, or not', run: () => change({ autoplay: !autoplay }) },
  ];
}
