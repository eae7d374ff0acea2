// Package k8s holds the manifests for Kubernetes, and the tests of what they
// promise. They are a module of their own, so that nothing else depends on what
// checks them.
//
// They are rendered, held against the schemas of Kubernetes and KEDA, and
// against the rules that this project has for them. With RELAYMESH_KUBERNETES
// they are also applied to a real control plane, whose nodes are fake, and
// these nodes are drained.
package k8s
