/** The verdicts that one can give on the clip, and what holds of it now. */
import { keyName } from '../keys.tsx';
import type { Action } from '../review/verdicts.ts';
import type { Clip } from '../wire.ts';

interface Props {
  clip: Clip;
  onAction: (action: Action) => void;
  onUndo: () => void;
}

const ACTIONS: readonly { action: Action; key: string; label: string }[] = [
  { action: 'accept', key: 'a', label: 'Accept' },
  { action: 'reject', key: 'r', label: 'Reject' },
  { action: 'flag', key: 'f', label: 'Flag' },
  { action: 'skip', key: 's', label: 'Skip' },
];

export function Decide({ clip, onAction, onUndo }: Props) {
  const { decision } = clip;
  const holds = { accept: decision.state === 'accepted', reject: decision.state === 'rejected', flag: decision.flagged };
  return (
    <div class="decide">
      <div class="buttons">
        {ACTIONS.map(({ action, key, label }) => (
          <button
            key={action}
            type="button"
            class={action}
            disabled={!clip.sha256}
            aria-pressed={action in holds ? holds[action as keyof typeof holds] : undefined}
            onClick={() => onAction(action)}
          >
            {label} <kbd>{keyName(key)}</kbd>
          </button>
        ))}
        <button type="button" class="quiet" disabled={!clip.sha256} onClick={onUndo}>
          Undo <kbd>U</kbd>
        </button>
      </div>
      <p class="standing" role="status">
        {standing(clip)}
      </p>
    </div>
  );
}

function standing({ sha256, kind, decision }: Clip): string {
  if (kind === 'stopped') return 'This clip is no sample; it is only shown.';
  if (!sha256) return 'This dataset is only shown: no verdicts can be given.';
  const by = decision.by.length ? ` by ${decision.by.join(', ')}` : '';
  const hidden = decision.hidden ? ` ${decision.hidden} verdicts of others are held back until you have decided.` : '';
  const flagged = decision.flagged ? ', flagged' : '';
  if (decision.state === 'open') return `Not decided yet${flagged}.${hidden}`;
  return `${decision.state === 'accepted' ? 'Accepted' : 'Rejected'}${flagged}${by}.${hidden}`;
}
