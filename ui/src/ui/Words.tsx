/** The server's words: what stands between backticks is a command, to be typed as it is. */

export function Words({ text }: { text: string }) {
  return text.split('`').map((part, i) =>
    i % 2 === 1 ? (
      <code key={i} style={{ userSelect: 'all' }}>
        {part}
      </code>
    ) : (
      part
    ),
  )
}
