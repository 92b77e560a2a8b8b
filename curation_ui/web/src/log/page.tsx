/** The log of verdicts, newest first; taken away as a file, and brought in from one. */
import '../quality/quality.css';
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { api, get, postFile } from '../api.ts';
import { useAnswer } from '../asked.ts';
import { count, counted, when } from '../numbers.ts';
import type { PageProps } from '../pages.ts';
import { said } from '../review/said.ts';
import { address, Link, place } from '../routing.tsx';
import { home } from '../session.tsx';
import { complain, say } from '../toasts.tsx';
import type { Imported, Log } from '../wire.ts';

const LIMIT = 100;

export function LogPage({ dataset }: PageProps) {
  const offset = Number(place.value.query.get('offset') ?? 0) || 0;
  const imports = useSignal(0);
  const log = useAnswer([dataset.dataset, offset, imports.value], () =>
    get<Log>(api(dataset.dataset, `log?offset=${offset}&limit=${LIMIT}`)),
  ).value;
  const named = (home.value?.datasets.length ?? 0) > 1 ? dataset.dataset : null;
  useEffect(() => {
    document.title = `Log · ${dataset.title}`;
  }, [dataset.title]);
  const bring = async (file: File | undefined) => {
    if (!file) return;
    const kind = file.name.endsWith('.parquet') ? 'parquet' : 'jsonl';
    try {
      const { added, of } = await postFile<Imported>(api(dataset.dataset, `verdicts.${kind}`), file);
      say(`${count(added)} of ${counted(of, 'verdict')} were new.`);
      imports.value++;
    } catch (fault) {
      complain(fault);
    }
  };
  return (
    <div class="sheet-page">
      <header class="log-head">
        <h1>Log</h1>
        <p class="faint">{log ? `${counted(log.total, 'verdict')}; nothing is ever taken out, an undo is one more line.` : ' '}</p>
        <p class="files">
          <a href={api(dataset.dataset, 'verdicts.jsonl')} download>
            Save as JSONL
          </a>
          <a href={api(dataset.dataset, 'verdicts.parquet')} download>
            Save as Parquet
          </a>
          {dataset.writable && (
            <label>
              Bring in a file
              <input type="file" accept=".jsonl,.parquet" onChange={(event) => void bring(event.currentTarget.files?.[0])} />
            </label>
          )}
        </p>
      </header>
      <table class="plain">
        <thead>
          <tr>
            <th>When</th>
            <th>Who</th>
            <th>What</th>
            <th>Clip</th>
          </tr>
        </thead>
        <tbody>
          {log?.events.map((event) => (
            <tr key={event.id} class={event.holds ? undefined : 'void'}>
              <td class="number">{when(event.when)}</td>
              <td>{event.who}</td>
              <td>
                {said(event)}
                {event.stale && ' (of other content)'}
              </td>
              <td>
                <Link to={address(`/clip/${event.key}`, { dataset: named })}>{event.key.slice(0, 12)}</Link>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {log && log.total > LIMIT && (
        <nav class="pager" aria-label="Pages of the log">
          {offset > 0 && <Link to={address('/log', { dataset: named, offset: Math.max(0, offset - LIMIT) || null })}>Newer</Link>}
          {offset + LIMIT < log.total && <Link to={address('/log', { dataset: named, offset: offset + LIMIT })}>Older</Link>}
        </nav>
      )}
    </div>
  );
}
