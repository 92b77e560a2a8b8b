/** What page and server say to each other, made from `wire.py` and `tool_wire.py` by `make page`. */

export interface Trouble {
  detail: string;
}

export interface SessionRequest {
  who: string;
  token?: string | null;
}

export interface Session {
  who: string | null;
  needs_token: boolean;
  suggested: string;
}

export interface DatasetInfo {
  dataset: string;
  title: string;
  url: string;
  samples: number;
  stopped: number | null;
  recipe: string | null;
  schema_number: number;
  writable: boolean;
  why_not: string | null;
}

export interface Home {
  datasets: DatasetInfo[];
  blind: boolean;
  study: boolean;
  version: string;
}

export interface ColumnInfo {
  name: string;
  kind: 'number' | 'word';
  label: string;
  group: 'clip' | 'score' | 'review' | 'ending';
  facet: boolean;
  rules: string[];
}

export interface Range {
  column: string;
  low?: number | null;
  high?: number | null;
}

export interface Choice {
  column: string;
  values: string[];
}

export interface Filter {
  kind?: 'samples' | 'stopped';
  text?: string;
  ranges?: Range[];
  choices?: Choice[];
}

export interface Query {
  filter?: Filter;
  sort?: string | null;
  descending?: boolean;
  seed?: number | null;
  offset?: number;
  limit?: number;
}

export interface Card {
  key: string;
  subject: string;
  caption: string;
  state: 'open' | 'accepted' | 'rejected';
  flagged: boolean;
  edited: boolean;
  duration: number | null;
  fps: number | null;
  num_frames: number | null;
  width: number | null;
  height: number | null;
  num_tracks: number | null;
  value: number | string | null;
  stage: string | null;
  why: string | null;
  measured: string | null;
  strip: string | null;
}

export interface Page {
  total: number;
  offset: number;
  cards: Card[];
}

export interface KeysRequest {
  query: Query;
}

export interface Keys {
  total: number;
  keys: string[];
}

export interface FacetsRequest {
  filter?: Filter;
  columns: string[];
  bins?: number;
  words?: number;
}

export interface Histogram {
  column: string;
  kind?: 'number';
  edges: number[];
  counts: number[];
  missing: number;
}

export interface Word {
  word: string;
  count: number;
}

export interface Words {
  column: string;
  kind?: 'word';
  words: Word[];
  others: number;
}

export interface Facets {
  total: number;
  facets: (Histogram | Words)[];
}

export interface Suggestions {
  words: Word[];
}

export interface TrackInfo {
  id: number;
  noun: string;
  dropped: boolean;
  redrawn: boolean;
  scores: Record<string, number>;
  series: Record<string, (number | null)[]>;
  boxes: ([number, number, number, number] | null)[];
}

export interface ScoreInfo {
  name: string;
  value: number;
  rule: string | null;
  low: number | null;
  high: number | null;
  note: string | null;
}

export interface Event {
  id: string;
  who: string;
  when: number;
  key: string;
  sha256: string;
  action: string;
  value: number | string | null;
  undoes: string | null;
  holds: boolean;
  stale: boolean;
}

export interface DecisionInfo {
  state: 'open' | 'accepted' | 'rejected';
  flagged: boolean;
  subject: string | null;
  caption: string | null;
  dropped_tracks: number[];
  by: string[];
  hidden: number;
}

export interface Clip {
  dataset: string;
  key: string;
  kind: 'samples' | 'stopped';
  sha256: string | null;
  mp4: string | null;
  proxied: boolean;
  codec: string | null;
  strip: string | null;
  masks: string | null;
  redrawn: Record<string, (string | null)[]>;
  width: number;
  height: number;
  pts: number[];
  time_base: [number, number];
  fps: number;
  duration: number;
  caption: string;
  caption_by: string;
  subject: string;
  stored_caption: string;
  stored_subject: string;
  tracks: TrackInfo[];
  scores: ScoreInfo[];
  broken: string[];
  stage: string | null;
  why: string | null;
  measured: string | null;
  provenance: Record<string, unknown>;
  shard: string | null;
  decision: DecisionInfo;
  history: Event[];
}

export interface VerdictRequest {
  id: string;
  key: string;
  sha256: string;
  action: 'accept' | 'reject' | 'flag' | 'skip' | 'drop_track' | 'rename_subject' | 'edit_caption' | 'undo';
  value?: number | string | null;
  undoes?: string | null;
}

export interface VerdictsRequest {
  verdicts: VerdictRequest[];
}

export interface VerdictsAnswer {
  events: Event[];
  decisions: Record<string, DecisionInfo>;
  undoable: string | null;
}

export interface Log {
  total: number;
  events: Event[];
}

export interface Imported {
  added: number;
  of: number;
}

export interface SampleRequest {
  size?: number;
  seed?: number;
  by?: string | null;
  filter?: Filter;
}

export interface Interval {
  count: number;
  of: number;
  share: number | null;
  low: number | null;
  high: number | null;
}

export interface Stratum {
  name: string;
  clips: number;
  sampled: number;
  rejected: Interval;
}

export interface QualitySample {
  keys: string[];
  decided: boolean[];
  rejected: Interval;
  corrected: Interval;
  weighted: number | null;
  strata: Stratum[];
}

export interface Reviewer {
  who: string;
  decided: number;
  rejected: number;
}

export interface Pair {
  a: string;
  b: string;
  clips: number;
  agree: number;
  table: [number, number, number, number];
  kappa: number | null;
}

export interface Disagreement {
  key: string;
  subject: string;
  caption: string;
  strip: string | null;
  decided: Record<string, 'accepted' | 'rejected'>;
  settled_by: string | null;
  settled_as: 'open' | 'accepted' | 'rejected' | null;
}

export interface Agreement {
  reviewers: Reviewer[];
  pairs: Pair[];
  alpha: number | null;
  twice: number;
  queue: Disagreement[];
  open: number;
}

export interface RuleSetting {
  name: string;
  rule: string;
  column: string | null;
  side: 'low' | 'high';
  value: number;
  lowest: number;
  highest: number;
  on: boolean;
}

export interface Rules {
  settings: RuleSetting[];
}

export interface ThresholdsRequest {
  settings: Record<string, number | null>;
}

export interface Thresholds {
  kept: number;
  rejected: number;
  unknown: number;
  was_kept: number;
  gained: number;
  lost: number;
  reasons: Word[];
  gained_keys: string[];
  lost_keys: string[];
  command: string;
}

export interface TrainerRequest {
  key: string;
  seed?: number;
  recipe?: string | null;
}

export interface TrainerFrame {
  picture: string;
  box: [number, number, number, number] | null;
  weights: string;
}

export interface TrainerView {
  width: number;
  height: number;
  fps: number;
  caption: string;
  noun: string;
  frames: TrainerFrame[];
  subject: string;
  least_weight: number;
  greatest_weight: number;
  settings: Record<string, number | number | string>;
}

export interface DiffRequest {
  a: string;
  b: string;
  only?: 'all' | 'only_in_a' | 'only_in_b' | 'changed' | 'subject' | 'caption' | 'masks' | 'video';
  offset?: number;
  limit?: number;
}

export interface TrackChange {
  id: number;
  iou: number | null;
  side: 'both' | 'a' | 'b';
}

export interface ClipChange {
  key: string;
  side: 'both' | 'a' | 'b';
  caption: [string, string] | null;
  subject: [string, string] | null;
  video: boolean;
  tracks: TrackChange[];
  other: string[];
  strip_a: string | null;
  strip_b: string | null;
}

export interface DiffAnswer {
  ready: boolean;
  compared: number;
  to_compare: number;
  same: number;
  counts: Record<string, number>;
  total: number;
  changes: ClipChange[];
}

export interface SegmentRequest {
  key: string;
  sha256: string;
  track?: number | null;
  frame: number;
  box?: [number, number, number, number] | null;
  point?: [number, number] | null;
}

export interface SegmentJob {
  job: string;
  state: 'waiting' | 'running' | 'done' | 'failed' | 'accepted' | 'dismissed';
  message: string;
  key: string;
  track: number | null;
  iou: number | null;
  masks: string | null;
}

export interface StudyTask {
  task: string;
  prompt: string;
  subject: string | null;
  boxes: string | null;
  videos: string[];
  questions: string[];
  done: number;
  of: number;
}

export interface StudyVote {
  id: string;
  task: string;
  answers: number[];
}

export interface StudyProgress {
  done: number;
  of: number;
}

export interface StudyMethod {
  method: string;
  votes: Interval[];
}

export interface StudyTally {
  questions: string[];
  voters: number;
  methods: StudyMethod[];
}
