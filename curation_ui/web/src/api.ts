/** Asking the server: JSON in, JSON out, and one error type with the server's own line. */

export class Trouble extends Error {
  constructor(
    readonly status: number, // 0: no answer came
    detail: string,
  ) {
    super(detail);
  }
}

export function get<Answer>(path: string): Promise<Answer> {
  return ask<Answer>(path, { method: 'GET' });
}

export function post<Answer>(path: string, body: object): Promise<Answer> {
  const headers = { 'content-type': 'application/json' };
  return ask<Answer>(path, { method: 'POST', headers, body: JSON.stringify(body) });
}

/** A file as it is, for imports. */
export function postFile<Answer>(path: string, file: Blob): Promise<Answer> {
  return ask<Answer>(path, { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: file });
}

/** `/api/DATASET/...` */
export function api(dataset: string, rest: string): string {
  return `/api/${encodeURIComponent(dataset)}/${rest}`;
}

async function ask<Answer>(path: string, how: RequestInit): Promise<Answer> {
  const answer = await fetch(path, how).catch(() => {
    throw new Trouble(0, 'the server does not answer; is `dreamreel review` still running?');
  });
  if (answer.ok) return (await answer.json()) as Answer;
  throw new Trouble(answer.status, await detail(answer));
}

async function detail(answer: Response): Promise<string> {
  try {
    const said = ((await answer.json()) as { detail: unknown }).detail;
    return typeof said === 'string' ? said : JSON.stringify(said);
  } catch {
    return `the server answered ${answer.status} ${answer.statusText}`;
  }
}
