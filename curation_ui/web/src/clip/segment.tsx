/** A track segmented anew from a click or a box, in the background; old and new side by side before it is taken. */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { api, get, post } from '../api.ts';
import type { Layer } from '../player/paint.ts';
import { scaleOf } from '../player/player.ts';
import { refresh } from '../review/clips.ts';
import { home } from '../session.tsx';
import { complain, say } from '../toasts.tsx';
import type { Clip, SegmentJob, SegmentRequest } from '../wire.ts';
import type { Aim, Desk } from './desk.ts';
import { trackColour } from './settings.ts';

const AGAIN = 700; // milliseconds between looks at a job under way

export function Segment({ desk, clip, onClose }: { desk: Desk; clip: Clip; onClose: () => void }) {
  const job = useSignal<SegmentJob | null>(null);
  const track = clip.tracks[desk.chosen.value];
  const base = api(clip.dataset, 'segment');
  const ask = async (aim: Aim) => {
    if (!clip.sha256) return;
    desk.player.pause();
    const frame = desk.player.frame.peek();
    const request: SegmentRequest = { key: clip.key, sha256: clip.sha256, track: track?.id ?? null, frame, ...aim };
    try {
      job.value = await post<SegmentJob>(base, request);
    } catch (fault) {
      complain(fault);
    }
  };
  useEffect(() => {
    desk.aim.value = ask;
    return () => void (desk.aim.value = null);
  });
  useEffect(() => {
    const under = job.value;
    if (!under || !['waiting', 'running'].includes(under.state)) return undefined;
    const timer = setTimeout(() => void get<SegmentJob>(`${base}/${under.job}`).then((now) => (job.value = now), complain), AGAIN);
    return () => clearTimeout(timer);
  }, [job.value]);
  const accept = async () => {
    try {
      await post<SegmentJob>(`${base}/${job.value!.job}/accept`, {});
      await refresh(clip.dataset, clip.key);
      say('The new masks are taken. Trainings draw them from their next start on.');
      onClose();
    } catch (fault) {
      complain(fault);
    }
  };
  const own = track?.boxes[desk.player.frame.value] ?? null;
  const state = job.value?.state;
  return (
    <section class="segment" aria-label="Segment anew" aria-live="polite">
      {!state && (
        <>
          <span>
            Click the {track?.noun ?? 'subject'} in the picture, or draw a box around it.
          </span>
          <button type="button" disabled={!own} onClick={() => own && void ask({ box: [...own] })}>
            From its own box
          </button>
        </>
      )}
      {(state === 'waiting' || state === 'running') && <span>{job.value!.message || 'Segmenting and tracking…'}</span>}
      {state === 'failed' && <span role="alert">It failed: {job.value!.message}</span>}
      {state === 'done' && (
        <>
          <span class="number">{job.value!.iou === null ? 'One more track.' : `IoU with the old masks ${job.value!.iou.toFixed(3)}.`}</span>
          <button type="button" class="primary" onClick={() => void accept()}>
            Take the new
          </button>
        </>
      )}
      <button type="button" class="quiet" onClick={() => (state === 'failed' ? (job.value = null) : onClose())}>
        {state === 'done' ? 'Keep the old' : state === 'failed' ? 'Try again' : 'Cancel'}
      </button>
      {state === 'done' && <Sides desk={desk} clip={clip} job={job.value!} />}
      {state === 'done' && (
        <p class="faint">
          Taken, it is a verdict: trainings draw it from their next start on, the shards stay as they are.{' '}
          <code>dreamreel shards repack {home.value?.datasets.find((one) => one.dataset === clip.dataset)?.url} OUT</code> writes it into
          new ones.
        </p>
      )}
    </section>
  );
}

/** The frame on show twice: with the masks as they are, and with the new ones. */
function Sides({ desk, clip, job }: { desk: Desk; clip: Clip; job: SegmentJob }) {
  const [before, after] = [useRef<HTMLCanvasElement>(null), useRef<HTMLCanvasElement>(null)];
  useEffect(() => {
    const colour = trackColour(desk.chosen.value);
    const layer = (masks: Layer['masks']): Layer[] => [{ masks, boxes: [], colour, label: '' }];
    let undo = desk.player.mirror(before.current!, layer(job.track === null ? null : desk.masksOf(job.track)));
    if (job.masks)
      void desk.fetchMasks(job.masks).then(([masks = null]) => {
        const first = undo;
        const second = desk.player.mirror(after.current!, layer(masks));
        undo = () => (first(), second());
      }, complain);
    return () => undo();
  }, [job.job]);
  const scale = scaleOf(clip);
  const size = { width: scale * clip.width, height: scale * clip.height };
  return (
    <div class="sides">
      <figure>
        <canvas ref={before} {...size} role="img" aria-label="With the old masks" />
        <figcaption class="faint">as it is</figcaption>
      </figure>
      <figure>
        <canvas ref={after} {...size} role="img" aria-label="With the new masks" />
        <figcaption class="faint">new</figcaption>
      </figure>
    </div>
  );
}
