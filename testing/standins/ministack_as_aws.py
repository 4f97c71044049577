"""ministack, with two things that CloudFormation does to a nested stack and ministack to others alone.

A template within a stack may have a transform of SAM's (CloudFormation User Guide, "AWS::Serverless transform"), and references to
secrets in it are resolved (the same, "Use dynamic references to specify template values").
"""

import contextvars
import sys

from ministack.app import main
from ministack.services.cloudformation import engine, provisioners

# The parameters of the stack within a stack that is being made.
nested = contextvars.ContextVar("nested", default=None)

parse_template = engine._parse_template
resolve_refs = engine._resolve_refs
deploy_nested = provisioners._cfn_nested_stack_deploy


def deploy_as_nested(logical_id, props, *arguments, **options):
    token = nested.set(props.get("Parameters") or {})
    try:
        return deploy_nested(logical_id, props, *arguments, **options)
    finally:
        nested.reset(token)


def parse_with_transform(text):
    template = parse_template(text)
    if nested.get() is None:
        return template
    given = [{"Key": name, "Value": str(value)} for name, value in nested.get().items()]
    template = engine._apply_transforms(template, given)
    assert not isinstance(template, engine._TransformFailed), "the template within the stack is not SAM's"
    return template


def resolve_with_secrets(*arguments, **options):
    value = resolve_refs(*arguments, **options)
    if nested.get() is None:
        return value
    return engine._resolve_dynamic_references(value)[0]


# The nested deployment looks both up when it runs; what deploys other stacks has them by name.
engine._parse_template = parse_with_transform
engine._resolve_refs = resolve_with_secrets
provisioners._cfn_nested_stack_deploy = deploy_as_nested

sys.exit(main())
