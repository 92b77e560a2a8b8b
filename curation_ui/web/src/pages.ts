/** The pages by the first part of their path, and the dataset that the address names. */
import { computed } from '@preact/signals';
import type { ComponentType } from 'preact';
import { Grid } from './grid/page.tsx';
import { place } from './routing.tsx';
import { home } from './session.tsx';
import type { DatasetInfo } from './wire.ts';

export interface PageProps {
  dataset: DatasetInfo;
  rest: string; // of the path, behind the page's own part
}

interface Entry {
  path: string; // its first part
  title: string | null; // in the head; null: reached from other pages
  load?: () => Promise<ComponentType<PageProps>>;
  page?: ComponentType<PageProps>;
}

export const PAGES: readonly Entry[] = [
  { path: '', title: 'Clips', page: Grid },
  { path: 'stopped', title: 'Stopped', page: Grid },
  { path: 'thresholds', title: 'Thresholds', load: async () => (await import('./thresholds/page.tsx')).ThresholdsPage },
  { path: 'quality', title: 'Quality', load: async () => (await import('./quality/page.tsx')).QualityPage },
  { path: 'agreement', title: 'Agreement', load: async () => (await import('./quality/agreement.tsx')).AgreementPage },
  { path: 'diff', title: 'Compare', load: async () => (await import('./versions/page.tsx')).DiffPage },
  { path: 'log', title: 'Log', load: async () => (await import('./log/page.tsx')).LogPage },
  { path: 'study', title: 'Study', load: async () => (await import('./study/page.tsx')).StudyPage },
  { path: 'clip', title: null, load: async () => (await import('./clip/page.tsx')).ClipPage },
];

/** The dataset that the address names, or the first. */
export const dataset = computed<DatasetInfo | null>(() => {
  const named = place.value.query.get('dataset');
  const datasets = home.value?.datasets ?? [];
  return datasets.find((one) => one.dataset === named) ?? datasets[0] ?? null;
});

