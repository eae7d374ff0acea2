// Package k8s holds the manifests for Kubernetes, and the tests of what they
// promise. They are a module of their own, so that nothing else depends on what
// checks them.
package k8s
