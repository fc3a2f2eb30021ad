import { useEffect, useRef } from 'react'
import { Copy } from '../../parts/copy'
import { DialogFoot } from '../../parts/dialog'
import { Icon } from '../../parts/icon'
import { Receiving } from './receiving'

/** Secret shows what signs a rule's messages, this once. */
export function Secret({ secret, onClose }: { secret: string; onClose: () => void }) {
  const shown = useRef<HTMLParagraphElement>(null)
  // What was focused, the button that made it, is gone.
  useEffect(() => shown.current?.focus(), [])
  return (
    <>
      <p className="notice notice-warn alert-notice" role="alert">
        <Icon name="warn" />
        <span>This is the only time that it is shown. If it is lost, rotate it to get another one.</span>
      </p>
      <p className="secret" tabIndex={-1} ref={shown}>
        <code>{secret}</code>
      </p>
      <Receiving open />
      <DialogFoot>
        <Copy text={secret} what="secret" label />
        <button type="button" className="button button-main" onClick={onClose}>
          I have it
        </button>
      </DialogFoot>
    </>
  )
}
