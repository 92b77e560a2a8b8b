/** The clip as the trainer sees it: the frames of one draw, the subject's box in each, and what the loss weighs. */
import './trainer.css';
import { useSignal } from '@preact/signals';
import { api, post, Trouble } from '../api.ts';
import { useAnswer } from '../asked.ts';
import { measured } from '../numbers.ts';
import type { Clip, TrainerFrame, TrainerRequest, TrainerView } from '../wire.ts';
import { Toggle } from './stage.tsx';

export function Trainer({ clip, onClose }: { clip: Clip; onClose: () => void }) {
  const seed = useSignal(0);
  const boxes = useSignal(true);
  const weights = useSignal(false);
  const request: TrainerRequest = { key: clip.key, seed: seed.value };
  const view = useAnswer([clip.dataset, request, clip.decision], () => ask(clip.dataset, request)).value;
  return (
    <section class="trainer" aria-label="As the trainer sees it">
      <header>
        <h2>As the trainer sees it</h2>
        <label>
          Draw
          <input type="number" min={0} value={seed.value} onInput={(event) => (seed.value = event.currentTarget.valueAsNumber || 0)} />
        </label>
        <span class="grow" />
        <Toggle label="Boxes" on={boxes.value} set={(on) => (boxes.value = on)} />
        <Toggle label="Loss weights" on={weights.value} set={(on) => (weights.value = on)} />
        <button type="button" class="quiet" onClick={onClose}>
          Close <kbd>T</kbd>
        </button>
      </header>
      {!view && <p class="faint">Drawing from the trainer’s own loader…</p>}
      {typeof view === 'string' && <p role="alert">{view}</p>}
      {view && typeof view !== 'string' && <View view={view} boxes={boxes.value} weights={weights.value} />}
    </section>
  );
}

/** The view, or why no training draws this clip. */
async function ask(dataset: string, request: TrainerRequest): Promise<TrainerView | string> {
  try {
    return await post<TrainerView>(api(dataset, 'trainer'), request);
  } catch (fault) {
    if (fault instanceof Trouble && fault.status === 400) return fault.message;
    throw fault;
  }
}

function View({ view, boxes, weights }: { view: TrainerView; boxes: boolean; weights: boolean }) {
  return (
    <div class="draw">
      <div class="given">
        <figure>
          <img src={view.subject} alt={`The subject image: ${view.noun}`} />
          <figcaption>{view.noun}</figcaption>
        </figure>
        <p>{view.caption || <em class="faint">this draw leaves the caption out</em>}</p>
        <dl>
          <div>
            <dt>frames</dt>
            <dd>{`${view.frames.length} at ${measured(view.fps)}/s, ${view.width} × ${view.height}`}</dd>
          </div>
          <div>
            <dt>loss weight</dt>
            <dd>{`${measured(view.least_weight)} outside, ${measured(view.greatest_weight)} inside`}</dd>
          </div>
          {Object.entries(view.settings).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{typeof value === 'number' ? measured(value) : value}</dd>
            </div>
          ))}
        </dl>
      </div>
      <ol class="frames">
        {view.frames.map((frame, n) => (
          <Frame key={n} number={n} frame={frame} view={view} boxes={boxes} weights={weights} />
        ))}
      </ol>
    </div>
  );
}

interface FrameProps {
  number: number;
  frame: TrainerFrame;
  view: TrainerView;
  boxes: boolean;
  weights: boolean;
}

function Frame({ number, frame, view: { width, height }, boxes, weights }: FrameProps) {
  const [x0, y0, x1, y1] = frame.box ?? [0, 0, 0, 0];
  const share = (part: number, whole: number) => `${(100 * part) / whole}%`;
  return (
    <li>
      <img src={frame.picture} alt={`Frame ${number}${frame.box ? '' : ', without the subject'}`} />
      {weights && <img class="weights" src={frame.weights} alt="" />}
      {boxes && frame.box && (
        <i style={{ left: share(x0, width), top: share(y0, height), width: share(x1 - x0, width), height: share(y1 - y0, height) }} />
      )}
      <span aria-hidden="true">{number}</span>
    </li>
  );
}
