package bep44

import "fmt"

// Code is a KRPC error code as nodes send it: 201-204 come from BEP 5, the others from BEP 44.
type Code int

// The codes that BEP 5 and BEP 44 define.
const (
	CodeGeneric       Code = 201 // any error without a code of its own
	CodeServer        Code = 202 // the node failed
	CodeProtocol      Code = 203 // malformed packet, arguments or token
	CodeMethodUnknown Code = 204 // the node does not know the query
	CodeValueTooBig   Code = 205 // more than 1000 bencoded bytes
	CodeBadSignature  Code = 206 // the signature does not belong to key, salt, seq and value
	CodeSaltTooBig    Code = 207 // more than 64 bytes
	CodeCASMismatch   Code = 301 // the stored seq is not the one that the putter expected
	CodeSeqTooLow     Code = 302 // the stored item is newer, or has the same seq and another value
)

// Error is a refusal with its KRPC code. Two errors are the same to [errors.Is] when their codes are.
type Error struct {
	Code Code
	Msg  string
}

// The refusals that callers tell apart; compare with [errors.Is].
var (
	ErrMalformed    = &Error{Code: CodeProtocol, Msg: "malformed item"}
	ErrValueTooBig  = &Error{Code: CodeValueTooBig, Msg: "value too big"}
	ErrBadSignature = &Error{Code: CodeBadSignature, Msg: "invalid signature"}
	ErrSaltTooBig   = &Error{Code: CodeSaltTooBig, Msg: "salt too big"}
	ErrCASMismatch  = &Error{Code: CodeCASMismatch, Msg: "cas mismatch"}
	ErrSeqTooLow    = &Error{Code: CodeSeqTooLow, Msg: "seq less than current"}
)

// Error says what was wrong, led by the code.
func (e *Error) Error() string {
	return fmt.Sprintf("bep44: %s (code %d)", e.Msg, e.Code)
}

// Is reports whether target is an [*Error] of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

func refuse(code Code, format string, args ...any) error {
	return &Error{Code: code, Msg: fmt.Sprintf(format, args...)}
}
