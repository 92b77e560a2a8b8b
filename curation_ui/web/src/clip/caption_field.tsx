/** The caption, to be mended in place: Enter keeps it, Escape leaves it as it was. */
import { useSignal } from '@preact/signals';
import type { Ref } from 'preact';
import { useEffect } from 'preact/hooks';
import type { Clip } from '../wire.ts';

interface Props {
  clip: Clip;
  field: Ref<HTMLTextAreaElement>;
  onCaption: (caption: string) => void;
}

export function CaptionField({ clip, field, onCaption }: Props) {
  const text = useSignal(clip.caption);
  useEffect(() => void (text.value = clip.caption), [clip.key, clip.caption]);
  const onKey = (event: KeyboardEvent) => {
    const area = event.currentTarget as HTMLTextAreaElement;
    if (event.key === 'Escape') text.value = clip.caption;
    else if (event.key !== 'Enter' || event.shiftKey) return;
    event.preventDefault();
    event.stopPropagation();
    area.blur();
  };
  const save = () => {
    const caption = text.value.trim();
    if (caption && caption !== clip.caption) onCaption(caption);
    else text.value = clip.caption;
  };
  return (
    <textarea
      ref={field}
      class="caption"
      aria-label="Caption"
      rows={3}
      maxLength={4000}
      readOnly={!clip.sha256}
      value={text.value}
      onInput={(event) => (text.value = event.currentTarget.value)}
      onKeyDown={onKey}
      onBlur={save}
    />
  );
}
