"""ministack, with three things that CloudFormation does to a nested stack and ministack to others alone.

A template within a stack may have a transform of SAM's (CloudFormation User Guide, "AWS::Serverless transform"), and references to
secrets in it are resolved (the same, "Use dynamic references to specify template values"). An update leaves alone what has not
changed, and resources keep the attributes that they had (the same, "Update behaviors of stack resources").
"""

import contextvars
import sys

from ministack.app import main
from ministack.services.cloudformation import _stacks, engine, provisioners

# The parameters of the stack within a stack that is being made.
nested = contextvars.ContextVar("nested", default=None)

parse_template = engine._parse_template
resolve_refs = engine._resolve_refs
update_resource = provisioners._update_resource
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


def update_with_attributes(kind, physical_id, old, new, stack, logical_id):
    if nested.get() is None:
        return update_resource(kind, physical_id, old, new, stack, logical_id)
    attributes = _stacks[stack]["_resources"][logical_id]["Attributes"]
    if old == new:
        return physical_id, attributes
    physical_id, changed = update_resource(kind, physical_id, old, new, stack, logical_id)
    return physical_id, {**attributes, **changed}


# The nested deployment looks them up when it runs; the deployment of other stacks has the first two by name.
engine._parse_template = parse_with_transform
engine._resolve_refs = resolve_with_secrets
provisioners._update_resource = update_with_attributes
provisioners._cfn_nested_stack_deploy = deploy_as_nested

sys.exit(main())
