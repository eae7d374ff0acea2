package run

// Where the machine has no certificate authorities, as in an image that holds
// nothing but the binary, those of Mozilla at build time are used.
import _ "golang.org/x/crypto/x509roots/fallback"
