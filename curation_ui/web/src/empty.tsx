/** What stands where there is nothing to show. */

export function Empty({ title, text }: { title: string; text: string }) {
  return (
    <div class="empty">
      <h1>{title}</h1>
      <p>{text}</p>
    </div>
  );
}
