"""Users and currencies of v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.sandbox.pipedrive.answers import as_json, ok
from connectors.sandbox.pipedrive.render import FIRST_USER, plain
from connectors.sandbox.server import Request, Response

if TYPE_CHECKING:
    from connectors.sandbox.pipedrive.company import Company


def users(company: Company, request: Request) -> Response:
    """All users, inactive ones too."""
    users = [_user(company, owner) for owner in company.world.owners.values() if not owner.deleted]
    return as_json({"success": True, "data": users or None})


def me(company: Company, request: Request) -> Response:
    """The token's user and company."""
    me = _user(company, company.world.owners[1])
    me |= {
        "company_id": company.company_id,
        "company_name": "Muara Demo",
        "company_domain": company.domain,
        "company_country": "ID",
        "company_industry": "Software",
        "language": {"language_code": "en", "country_code": "US"},
    }
    return ok(me)


def currencies(company: Company, request: Request) -> Response:
    """All currencies."""
    rows = [
        {
            "id": n,
            "code": code,
            "name": code,
            "decimal_points": 2,
            "symbol": code,
            "active_flag": True,
            "is_custom_flag": False,
        }
        for n, code in enumerate(sorted(company.world.rates), start=1)
    ]
    return as_json({"success": True, "data": rows})


def _user(company: Company, owner: Any) -> dict[str, Any]:
    return {
        "id": FIRST_USER + owner.id,
        "name": owner.name,
        "email": owner.email,
        "default_currency": company.world.home_currency,
        "locale": "en_US",
        "lang": 1,
        "phone": None,
        "activated": True,
        "active_flag": owner.active,
        "is_deleted": False,
        "last_login": plain(company.world.now_ms // 1000),
        "created": plain(owner.created_ms // 1000),
        "modified": plain(owner.stamp_ms // 1000),
        "has_created_company": owner.id == 1,
        "timezone_name": str(company.zone),
        "timezone_offset": "+07:00",
        "role_id": 1,
        "icon_url": None,
        "is_you": owner.id == 1,
        "access": [
            {
                "app": "sales",
                "admin": company.admin and owner.id == 1,
                "permission_set_id": "00000000-0000-0000-0000-000000000001",
            }
        ],
    }
