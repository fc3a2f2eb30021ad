import { expect, it } from 'vitest'
import { ApiError } from '../api/client'
import { fieldErrors } from './field'

it('what the API has against a field goes to the field', () => {
  const error = new ApiError(422, 'invalid_parameter', 'wrong', '', [
    { location: 'body.credits', message: 'not above 0' },
    { location: 'body.scopes[1]', message: 'Unknown scope.' },
    { location: 'query.from', message: 'of no field' },
    { location: 'body', message: 'of no field either' },
  ])
  expect(fieldErrors(error)).toEqual({ credits: 'Not above 0.', scopes: 'Unknown scope.' })
  expect(fieldErrors(new Error('other'))).toEqual({})
})
