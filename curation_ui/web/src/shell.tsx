/** What stands around every page: its head, the dialogs, messages, and the page that the address names. */
import { signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { Empty } from './empty.tsx';
import { helpOpen, KeyHelp, useKeys } from './keys.tsx';
import { dataset, PAGES, type PageProps } from './pages.ts';
import { unsent, waitingFor } from './review/verdicts.ts';
import { address, Link, place } from './routing.tsx';
import { asking, home, NameDialog, session } from './session.tsx';
import { nextTheme, theme } from './theme.ts';
import { Toasts } from './toasts.tsx';

const loaded = signal<Record<string, ComponentType<PageProps>>>({});

export function Shell() {
  const [, first = '', ...rest] = place.value.path.split('/');
  const entry = PAGES.find((page) => page.path === first);
  const Page = entry?.page ?? loaded.value[first];
  useEffect(() => {
    if (entry?.load && !loaded.value[first])
      void entry.load().then((page) => (loaded.value = { ...loaded.value, [first]: page }));
  }, [first]);
  useKeys('Everywhere', [
    { keys: ['?'], does: 'list the keys', run: () => (helpOpen.value = true) },
    { keys: ['Shift+T'], does: 'light, dark or as the system has it', run: nextTheme },
  ]);
  return (
    <>
      <a class="skip-link" href="#main">
        Skip to the content
      </a>
      <Head current={first} />
      <main id="main" tabIndex={-1}>
        {!entry && <Empty title="There is no such page" text="Choose one above." />}
        {entry && !dataset.value && home.value && <Empty title="No dataset" text="Name one: dreamreel review DATASET" />}
        {dataset.value && Page && (
          <Page key={`${first}/${dataset.value.dataset}`} dataset={dataset.value} rest={rest.join('/')} />
        )}
      </main>
      <NameDialog />
      <KeyHelp />
      <Toasts />
    </>
  );
}

function Head({ current }: { current: string }) {
  const name = dataset.value?.dataset;
  const many = (home.value?.datasets.length ?? 0) > 1;
  return (
    <header class="head">
      <Link to={address('/', { dataset: many ? name : null })} class="mark">
        <i aria-hidden="true" />
        dreamreel
      </Link>
      {many && <DatasetPicker />}
      <nav aria-label="Pages">
        {PAGES.filter((page) => page.title && isOffered(page.path)).map((page) => (
          <Link
            key={page.path}
            to={address(`/${page.path}`, { dataset: many ? name : null })}
            current={page.path === current}
          >
            {page.title}
          </Link>
        ))}
      </nav>
      <Sending />
      <button type="button" class="quiet" onClick={() => (asking.value = true)} title="Who is reviewing">
        {session.value?.who ?? 'Only looking'}
      </button>
      <button type="button" class="quiet" onClick={nextTheme} aria-label={`Theme: ${theme.value}`}>
        {{ system: '◐', light: '☀', dark: '☾' }[theme.value]}
      </button>
      <button type="button" class="quiet" onClick={() => (helpOpen.value = true)} aria-label="Keys">
        ?
      </button>
    </header>
  );
}

function isOffered(path: string): boolean {
  if (path === 'stopped') return dataset.value?.stopped !== 0; // null: they are still being counted
  if (path === 'diff') return (home.value?.datasets.length ?? 0) > 1;
  if (path === 'study') return home.value?.study ?? false;
  return true;
}

function DatasetPicker() {
  return (
    <select
      aria-label="Dataset"
      value={dataset.value?.dataset}
      onChange={(event) => {
        location.href = address('/', { dataset: event.currentTarget.value });
      }}
    >
      {home.value?.datasets.map((one) => (
        <option key={one.dataset} value={one.dataset}>
          {one.dataset}
        </option>
      ))}
    </select>
  );
}

/** Silent while all is well. */
function Sending() {
  if (!unsent.value || !waitingFor.value) return <span class="grow" />;
  return (
    <span class="grow sending" role="status">
      {unsent.value} unsent, trying again: {waitingFor.value}
    </span>
  );
}
