/** One clip: the picture with its masks, what is said of it, and the verdicts one gives, all by keyboard. */
import './clip.css';
import { useSignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { useKeys } from '../keys.tsx';
import { count } from '../numbers.ts';
import type { PageProps } from '../pages.ts';
import { decide, type Action, undo } from '../review/verdicts.ts';
import { read, type Source, written } from '../review/walk.ts';
import { address, go, Link, place } from '../routing.tsx';
import { home } from '../session.tsx';
import { complain, say } from '../toasts.tsx';
import type { Clip, Event, TrackInfo } from '../wire.ts';
import { CaptionField } from './caption_field.tsx';
import { Decide } from './decide.tsx';
import { Desk } from './desk.ts';
import { History, Provenance, Scores } from './scores.tsx';
import { Segment } from './segment.tsx';
import { Stage, stageKeys, Toggle, Transport } from './stage.tsx';
import { SubjectField } from './subject_field.tsx';
import { Timeline } from './timeline.tsx';
import { Tracks } from './tracks.tsx';
import { Trainer } from './trainer.tsx';

let kept: Desk | null = null; // videos that are ready stay so while other pages are open

export function ClipPage({ dataset, rest }: PageProps) {
  const desk = useMemo(() => (kept ??= new Desk()), []);
  const { query } = place.value;
  const viewText = query.get('view');
  const source = useMemo(() => read(viewText), [viewText]);
  const kind = query.get('kind') === 'stopped' ? 'stopped' : 'samples';
  const named = (home.value?.datasets.length ?? 0) > 1;
  const frame = query.get('frame');
  useEffect(() => {
    const at = Number(query.get('at') ?? 0);
    void desk.open({
      dataset: dataset.dataset,
      named,
      key: rest,
      kind,
      source,
      at,
      frame: frame === null ? null : Number(frame),
    });
  }, [dataset.dataset, rest, kind, viewText, frame]);
  useEffect(() => () => desk.player.pause(), []);
  const clip = desk.clip.value?.value;
  if (!clip || clip.dataset !== dataset.dataset) return <p class="waiting-page">Opening the clip…</p>;
  return <Opened desk={desk} clip={clip} source={source} back={backTo(source, kind, named ? dataset.dataset : null)} />;
}

interface OpenedProps {
  desk: Desk;
  clip: Clip;
  source: Source;
  back: string;
}

function Opened({ desk, clip, back }: OpenedProps) {
  const subject = useRef<HTMLInputElement>(null);
  const caption = useRef<HTMLTextAreaElement>(null);
  const more = useSignal(false);
  const mode = useSignal<'trainer' | 'segment' | null>(null);
  const turn = (to: 'trainer' | 'segment') => {
    desk.player.pause();
    mode.value = mode.value === to ? null : to;
  };
  useEffect(() => {
    document.title = `${clip.subject} · ${clip.key.slice(0, 8)}`;
  }, [clip.key, clip.subject]);
  const act = (action: Action) => {
    const seen = desk.seen(); // a key may come before this has been rendered anew
    if (!seen) return;
    decide(seen, action);
    if (action !== 'flag' && seen.sha256) void desk.step(1);
  };
  const takeBack = async (event: Event | null = null) => {
    try {
      const last = await undo(clip.dataset, event);
      if (last && last.key !== clip.key) go(address(`/clip/${last.key}`, Object.fromEntries(place.value.query)), true);
    } catch (fault) {
      complain(fault);
    }
  };
  const drop = (track: TrackInfo) => {
    if (!track.dropped) return decide(clip, 'drop_track', track.id);
    const event = clip.history.findLast((e) => e.action === 'drop_track' && e.value === track.id && e.holds);
    if (event) void takeBack(event);
  };
  const copyLink = async () => {
    const link = location.origin + desk.address(desk.player.frame.peek());
    await navigator.clipboard?.writeText(link).catch(() => undefined); // absent on plain host names
    go(desk.address(desk.player.frame.peek()), true);
    say('The address names this clip and frame now.');
  };
  useKeys('This clip', [
    { keys: ['a'], does: 'accept, and on to the next', once: true, run: () => act('accept') },
    { keys: ['r'], does: 'reject, and on to the next', once: true, run: () => act('reject') },
    { keys: ['s'], does: 'skip', once: true, run: () => act('skip') },
    { keys: ['f'], does: 'flag, to be looked at again', once: true, run: () => act('flag') },
    { keys: ['n'], does: 'correct the subject word', run: () => subject.current?.focus() },
    { keys: ['c'], does: 'mend the caption', run: () => caption.current?.focus() },
    { keys: ['x'], does: 'choose the next track', run: () => (desk.chosen.value = (desk.chosen.value + 1) % clip.tracks.length) },
    { keys: ['d'], does: 'drop the chosen track, or take that back', once: true, run: () => clip.tracks[desk.chosen.value] && drop(clip.tracks[desk.chosen.value]!) },
    { keys: ['1', '2', '3', '4', '5', '6', '7', '8', '9'], does: 'show or hide a track', run: (key) => clip.tracks[Number(key) - 1] && desk.toggleTrack(clip.tracks[Number(key) - 1]!.id) },
    { keys: ['t'], does: 'see it as the trainer does', run: () => clip.kind === 'samples' && turn('trainer') },
    { keys: ['e'], does: 'segment the chosen track anew', run: () => clip.sha256 && turn('segment') },
    { keys: ['u'], does: 'undo the last verdict', once: true, run: () => void takeBack() },
    { keys: ['j', 'ArrowDown'], does: 'next clip', run: () => void desk.step(1) },
    { keys: ['k', 'ArrowUp'], does: 'clip before', run: () => void desk.step(-1) },
    { keys: ['y'], does: 'put this frame into the address', run: () => void copyLink() },
    { keys: ['i'], does: 'where it comes from', run: () => (more.value = !more.value) },
    { keys: ['g', 'Escape'], does: 'back to the grid', run: () => go(back) },
  ]);
  useKeys('The picture', stageKeys(desk));
  return (
    <div class="clip-page">
      <section class="left" aria-label="Video">
        {mode.value === 'trainer' && <Trainer clip={clip} onClose={() => (mode.value = null)} />}
        <div class="watching" hidden={mode.value === 'trainer'}>
          <Stage desk={desk} clip={clip} />
          {mode.value === 'segment' && <Segment key={clip.key} desk={desk} clip={clip} onClose={() => (mode.value = null)} />}
          <Transport desk={desk} clip={clip} />
          <Timeline desk={desk} clip={clip} />
        </div>
      </section>
      <section class="right" aria-label="What is said of the clip">
        <Position desk={desk} back={back} />
        <h1 class="hidden">
          {clip.subject}, clip {clip.key}
        </h1>
        <SubjectField clip={clip} field={subject} onSubject={(noun) => decide(clip, 'rename_subject', noun)} />
        {clip.subject !== clip.stored_subject && <p class="was">was “{clip.stored_subject}”</p>}
        <CaptionField clip={clip} field={caption} onCaption={(text) => decide(clip, 'edit_caption', text)} />
        {clip.caption !== clip.stored_caption && <p class="was">was “{clip.stored_caption}”</p>}
        <Decide clip={clip} onAction={act} onUndo={() => void takeBack()} />
        {clip.stage && <p class="why">{[`stopped by the ${clip.stage}`, clip.why, clip.measured].filter(Boolean).join(' · ')}</p>}
        {clip.kind === 'samples' && (
          <p class="modes">
            <Toggle label="Trainer’s view" on={mode.value === 'trainer'} set={() => turn('trainer')} />
            {clip.sha256 && <Toggle label="Segment anew" on={mode.value === 'segment'} set={() => turn('segment')} />}
          </p>
        )}
        {clip.tracks.length > 0 && <h2>Tracks</h2>}
        <Tracks desk={desk} clip={clip} onDrop={drop} />
        {clip.scores.length > 0 && <h2>Measured</h2>}
        <Scores clip={clip} />
        <details open={more.value} onToggle={(event) => (more.value = event.currentTarget.open)}>
          <summary>Where it comes from</summary>
          <Provenance clip={clip} />
        </details>
        {clip.kind === 'samples' && <h2>Verdicts</h2>}
        {clip.kind === 'samples' && <History events={clip.history} onUndo={(event) => void takeBack(event)} />}
      </section>
    </div>
  );
}

function Position({ desk, back }: { desk: Desk; back: string }) {
  return (
    <div class="position">
      <Link to={back}>← Grid</Link>
      <span class="grow" />
      <button type="button" class="quiet" aria-label="Clip before" onClick={() => void desk.step(-1)}>
        ↑
      </button>
      <span class="number">
        {desk.at.value >= 0 ? count(desk.at.value + 1) : '–'} of {count(desk.total.value)}
      </span>
      <button type="button" class="quiet" aria-label="Next clip" onClick={() => void desk.step(1)}>
        ↓
      </button>
    </div>
  );
}

/** The page from which this clip was reached. */
function backTo(source: Source, kind: string, dataset: string | null): string {
  if (source.of !== 'query') return address(source.of === 'sample' ? '/quality' : '/', { dataset });
  const { kind: _, ...filter } = source.query.filter ?? {};
  const { filter: __, ...order } = source.query;
  const query = Object.keys(filter).length ? { ...order, filter } : order;
  return address(kind === 'stopped' ? '/stopped' : '/', { dataset, view: written({ of: 'query', query }) });
}
