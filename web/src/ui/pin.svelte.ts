/**
 * Keeps a scrolled region at its end while its content grows, and only while the reader is there:
 * scrolling up by any means lets go at once, coming back to the end takes hold again.
 */

// Closer to the end than this counts as there, in pixels.
const kNear = 24;

/** The pin of one region. */
export class Pin {
  private element: HTMLElement | null = null;
  private lastTop = 0;
  private held = $state(true);

  /** Whether the region follows its content. */
  get atEnd(): boolean {
    return this.held;
  }

  /** Attachment for the scrolled element; its first child is the content. */
  readonly attach = (element: HTMLElement): (() => void) => {
    this.element = element;
    const onScroll = () => {
      const distance = element.scrollHeight - element.scrollTop - element.clientHeight;
      if (distance <= kNear) this.held = true;
      else if (element.scrollTop < this.lastTop) this.held = false;
      this.lastTop = element.scrollTop;
    };
    const observer = new ResizeObserver(() => {
      if (this.held) this.toEnd();
      else onScroll();
    });
    element.addEventListener('scroll', onScroll, { passive: true });
    observer.observe(element);
    if (element.firstElementChild) observer.observe(element.firstElementChild);
    return () => {
      observer.disconnect();
      element.removeEventListener('scroll', onScroll);
      this.element = null;
    };
  };

  /** Goes to the end and holds on. */
  toEnd(): void {
    this.held = true;
    if (!this.element) return;
    this.element.scrollTop = this.element.scrollHeight;
    this.lastTop = this.element.scrollTop;
  }
}
