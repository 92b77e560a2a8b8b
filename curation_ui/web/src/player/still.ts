/** The picture of a video frame on a canvas of its own. */
export class Still {
  private readonly canvas = document.createElement('canvas');
  private readonly context = this.canvas.getContext('2d', { alpha: false })!;
  private pixels = new ImageData(1, 1);

  /** `frame` as it is to be painted, until the next is taken.
   *
   *  Frames in memory are copied. Drawn, each would stay with Chromium where there is no GPU: up to a thousand pictures
   *  of a size of their own, until the machine runs out of memory.
   */
  async take(frame: VideoFrame): Promise<CanvasImageSource> {
    const { width, height } = frame.visibleRect ?? { width: 0, height: 0 };
    const upright = !('rotation' in frame && frame.rotation) && !('flip' in frame && frame.flip);
    if (frame.format !== 'I420' || !upright) return frame;
    if (this.pixels.width !== width || this.pixels.height !== height) {
      this.pixels = new ImageData(width, height);
      Object.assign(this.canvas, { width, height });
    }
    try {
      await frame.copyTo(this.pixels.data, { format: 'RGBA' });
    } catch {
      return frame; // not every browser converts
    }
    this.context.putImageData(this.pixels, 0, 0);
    return this.canvas;
  }
}
