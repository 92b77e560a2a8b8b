/** The user study: three anonymous videos, four questions, one answer each; and what all answers say. */
import '../quality/quality.css';
import './study.css';
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { get, post, Trouble } from '../api.ts';
import { useKeys } from '../keys.tsx';
import { counted, percent } from '../numbers.ts';
import type { PageProps } from '../pages.ts';
import { sentence } from '../quality/interval.tsx';
import { complain } from '../toasts.tsx';
import type { StudyProgress, StudyTally, StudyTask, StudyVote } from '../wire.ts';
import { newId } from '../review/verdicts.ts';

export function StudyPage(_: PageProps) {
  const task = useSignal<StudyTask | null>(null);
  const tally = useSignal<StudyTally | null>(null);
  const answers = useSignal<readonly (number | null)[]>([]);
  const next = async () => {
    try {
      task.value = await get<StudyTask>('/api/study');
      answers.value = task.value.questions.map(() => null);
    } catch (fault) {
      if (!(fault instanceof Trouble && fault.status === 404)) return complain(fault);
      task.value = null;
      tally.value = await get<StudyTally>('/api/study/tally');
    }
  };
  useEffect(() => {
    document.title = 'Study';
    void next();
  }, []);
  const answer = (question: number, video: number) =>
    (answers.value = answers.value.map((old, n) => (n === question ? video : old)));
  const open = answers.value.indexOf(null);
  const send = async () => {
    if (!task.value || open >= 0) return;
    const vote: StudyVote = { id: newId(), task: task.value.task, answers: answers.value.map(Number) };
    try {
      await post<StudyProgress>('/api/study', vote);
      await next();
    } catch (fault) {
      complain(fault);
    }
  };
  useKeys('Study', [
    { keys: ['1', '2', '3'], does: 'answer the next question with that video', run: (key) => open >= 0 && answer(open, Number(key) - 1) },
    { keys: ['Backspace'], does: 'take the last answer back', run: () => takeBack(answers.value, (changed) => (answers.value = changed)) },
    { keys: ['Enter'], does: 'send the answers', run: () => void send() },
  ]);
  if (tally.value) return <Tally tally={tally.value} />;
  if (!task.value) return <p class="waiting-page">Fetching the next task…</p>;
  const { prompt, subject, boxes, videos, questions, done, of } = task.value;
  return (
    <div class="sheet-page study">
      <header>
        <h1>Which video is best?</h1>
        <p class="faint number">
          {done + 1} of {of}
        </p>
      </header>
      <section class="wanted" aria-label="What was wanted">
        {subject && (
          <figure>
            <img src={subject} alt="The subject" />
            <figcaption class="faint">the subject</figcaption>
          </figure>
        )}
        {boxes && (
          <figure>
            <img src={boxes} alt="The path that the subject shall take" />
            <figcaption class="faint">its path</figcaption>
          </figure>
        )}
        <blockquote>{prompt}</blockquote>
      </section>
      <section class="videos" aria-label="The videos">
        {videos.map((url, n) => (
          <figure key={url}>
            <video src={url} autoplay loop muted playsInline controls />
            <figcaption>Video {n + 1}</figcaption>
          </figure>
        ))}
      </section>
      {questions.map((question, n) => (
        <fieldset key={question} class={n === open ? 'question open' : 'question'}>
          <legend>{question}</legend>
          {videos.map((_, video) => (
            <label key={video}>
              <input type="radio" name={`question-${n}`} checked={answers.value[n] === video} onChange={() => answer(n, video)} />
              Video {video + 1}
            </label>
          ))}
        </fieldset>
      ))}
      <button type="button" class="primary" disabled={open >= 0} onClick={() => void send()}>
        Send
      </button>
    </div>
  );
}

function takeBack(answers: readonly (number | null)[], set: (answers: readonly (number | null)[]) => void): void {
  const last = answers.findLastIndex((answer) => answer !== null);
  set(answers.map((answer, n) => (n === last ? null : answer)));
}

function Tally({ tally }: { tally: StudyTally }) {
  return (
    <div class="sheet-page">
      <header>
        <h1>Thank you</h1>
        <p class="faint">{counted(tally.voters, 'voter')} so far; votes with their 95 % intervals.</p>
      </header>
      <table class="plain">
        <thead>
          <tr>
            <th>Method</th>
            {tally.questions.map((question) => (
              <th key={question}>{question}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {tally.methods.map(({ method, votes }) => (
            <tr key={method}>
              <th scope="row">{method}</th>
              {votes.map((interval, n) => (
                <td key={n} class="number">
                  <strong>{percent(interval.share)}</strong>
                  <br />
                  <span class="faint">{sentence(interval, 'vote').split(', ').slice(1).join(', ')}</span>
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
