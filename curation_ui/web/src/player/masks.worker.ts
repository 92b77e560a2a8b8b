/** The thread that fetches a sample's masks and packs them, so that the page itself never waits for them. */
import { pack, type PackedMasks } from './runs.ts';

export interface MaskRequest {
  url: string;
}

export type MaskAnswer = { url: string } & ({ tracks: PackedMasks[] } | { fault: string });

/** The shard's own run lengths: one string for each frame that has a mask. */
interface Member {
  size: [height: number, width: number];
  tracks: { id: number; counts: (string | null)[] }[];
}

self.onmessage = async ({ data: { url } }: MessageEvent<MaskRequest>) => {
  try {
    const tracks = await fetchMasks(url);
    const buffers = tracks.flatMap((t) => [t.areas.buffer, t.areasAt.buffer, t.edges.buffer, t.edgesAt.buffer]);
    postMessage({ url, tracks } satisfies MaskAnswer, { transfer: buffers });
  } catch (error) {
    postMessage({ url, fault: error instanceof Error ? error.message : String(error) } satisfies MaskAnswer);
  }
};

async function fetchMasks(url: string): Promise<PackedMasks[]> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`masks: the server answered ${answer.status}`);
  const member = (await answer.json()) as Member;
  const [height, width] = member.size;
  return member.tracks.map((track) => pack(track.id, track.counts, height, width));
}
