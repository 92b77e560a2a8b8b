/** Who reviews: asked once, remembered, and said to the server again where it has forgotten. */
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { get, post, Trouble } from './api.ts';
import { complain } from './toasts.tsx';
import type { Home, Session } from './wire.ts';

const PLACE = 'dreamreel.who';

export const session = signal<Session | null>(null);
export const home = signal<Home | null>(null);
export const asking = signal(false);

/** The page's first words with the server. A token in the address is exchanged for a cookie and taken out of it. */
export async function begin(): Promise<void> {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token) history.replaceState(null, '', location.pathname + location.search);
  try {
    session.value = await get<Session>('/api/session');
    const name = session.value.who ?? localStorage.getItem(PLACE);
    if (token || (name && !session.value.who)) await introduce(name ?? session.value.suggested, token);
    if (!name) asking.value = true;
    if (session.value.who || !session.value.needs_token) home.value = await get<Home>('/api/home');
  } catch (fault) {
    complain(fault);
  }
}

export async function introduce(who: string, token: string | null = null): Promise<void> {
  session.value = await post<Session>('/api/session', { who, token });
  localStorage.setItem(PLACE, session.value.who ?? who);
}

/** Say again who one is, after the server was started anew. */
export async function again(): Promise<void> {
  const who = localStorage.getItem(PLACE);
  if (who) await introduce(who);
  else asking.value = true;
}

export function NameDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const said = session.value;
  useEffect(() => {
    if (asking.value) dialog.current?.showModal();
    else dialog.current?.close();
  }, [asking.value]);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    try {
      await introduce(String(form.get('who')), (form.get('token') as string | null) || null);
      home.value = await get<Home>('/api/home');
      asking.value = false;
    } catch (fault) {
      complain(fault instanceof Trouble ? fault : new Error(String(fault)));
    }
  };
  return (
    <dialog ref={dialog} class="sheet" aria-labelledby="who-title" onClose={() => (asking.value = false)}>
      <form onSubmit={submit}>
        <h2 id="who-title">Who is reviewing?</h2>
        <p>Your name stands beside every verdict that you give.</p>
        <label>
          Name
          <input name="who" required maxLength={80} defaultValue={said?.who ?? said?.suggested ?? ''} autofocus />
        </label>
        {said?.needs_token && (
          <label>
            Token
            <input name="token" type="password" autocomplete="off" />
          </label>
        )}
        <footer>
          <button type="button" class="quiet" onClick={() => (asking.value = false)}>
            Only look
          </button>
          <button type="submit" class="primary">
            Begin
          </button>
        </footer>
      </form>
    </dialog>
  );
}
