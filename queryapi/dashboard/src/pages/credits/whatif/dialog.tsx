import { useEffect, useRef, useState } from 'react'
import { Dialog, DialogFoot } from '../../../parts/dialog'
import { navigate, usePlace, withQuery } from '../../../router'
import { Form } from './form'
import { Result } from './result'
import { changesOf, isNothing, nothing, type WhatIf, whatIfOf } from './view'
import './whatif.css'

/** settle is how long after the last change the API is asked, in milliseconds: a slider moves through many values. */
const settle = 250

/** WhatIfDialog asks what becomes of the credits if campaigns pause, usage changes or a grant comes. */
export function WhatIfDialog({ workspace, zone, onClose }: { workspace: string; zone: string; onClose: () => void }) {
  const place = usePlace()
  const [draft, setDraft] = useState<WhatIf>(() => whatIfOf(place.query))
  const at = useRef(place)
  at.current = place
  useEffect(() => {
    const timer = window.setTimeout(() => navigate(withQuery(at.current, changesOf(draft)), { replace: true }), settle)
    return () => window.clearTimeout(timer)
  }, [draft])
  return (
    <Dialog title="What if" onClose={onClose}>
      <div className="whatif">
        <Form workspace={workspace} zone={zone} draft={draft} onChange={setDraft} />
        <Result workspace={workspace} zone={zone} asked={whatIfOf(place.query)} />
      </div>
      <DialogFoot>
        <button type="button" className="button" onClick={() => setDraft(nothing)} disabled={isNothing(draft)}>
          Reset
        </button>
        <button type="button" className="button button-main" onClick={onClose}>
          Close
        </button>
      </DialogFoot>
    </Dialog>
  )
}
