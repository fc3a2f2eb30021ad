/** Receiving says how whoever gets messages knows that they are from here; docs/webhooks.md has it at length. */
export function Receiving({ open = false }: { open?: boolean }) {
  return (
    <details className="more" {...(open ? { open: true } : {})}>
      <summary>How to receive and verify messages</summary>
      <ul className="alert-help soft small">
        <li>
          Each message is a <code>POST</code>. Answer with 2xx within 15 seconds and work on it afterwards; anything else is tried
          again for a day. 410 stops it.
        </li>
        <li>
          Format Standard follows Standard Webhooks 1.0, so its libraries verify it with the secret:{' '}
          <code>webhook-signature</code> has <code>v1,</code> and the base64 of HMAC-SHA256 over{' '}
          <code>webhook-id.webhook-timestamp.body</code>, keyed with the base64 after <code>whsec_</code>. While a secret is
          rotated there are two, separated by a space.
        </li>
        <li>Refuse what is more than five minutes old, and keep each webhook-id for a day to recognise repeats.</li>
        <li>Format Slack is a text for incoming webhooks of Slack and what is compatible with it, with the same headers.</li>
        <li>
          All of it stands in{' '}
          <a href="/docs/webhooks" target="_blank" rel="noreferrer">
            Receiving alerts
          </a>
          , and the operations in the{' '}
          <a href="/docs" target="_blank" rel="noreferrer">
            API documentation
          </a>
          .
        </li>
      </ul>
    </details>
  )
}
